//! A server with admin keys of any kind, made as operators make them; every
//! call of KeyAdmin by its name; and what the audit log says of who called.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyward::edge::pb::list_audit_events_request::Log;
use keyward::edge::pb::*;
use prost_types::FieldMask;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::support::{Admin, Server, Site, admin_over, code_name, connect, key_request};

/// A server whose first OWNER makes what a test needs. Revoked keys can be
/// deleted at once.
pub(crate) struct Office {
    pub(crate) server: Server,
    pub(crate) owner: Admin,
    channel: Channel,
    /// How many names were made up.
    names: AtomicUsize,
}

/// An admin key, and a client that holds its token.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) admin: Admin,
}

impl Office {
    pub(crate) async fn open() -> Self {
        Self::of(Site::init()).await
    }

    /// Serves a store that is there already.
    pub(crate) async fn of(site: Site) -> Self {
        let mut command = site.serve_command();
        command.args(["--key-retention", "0s"]);
        let server = Server::spawn(site, command).unwrap();
        let channel = connect(&server.admin_address).await;
        let owner = admin_over(channel.clone(), &server.site.admin_token());
        Self {
            server,
            owner,
            channel,
            names: AtomicUsize::new(0),
        }
    }

    /// A client with this token.
    pub(crate) fn admin(&self, token: &str) -> Admin {
        admin_over(self.channel.clone(), token)
    }

    /// A new workspace with the environments `live`, its default, and `test`, by
    /// an id of always the same length.
    pub(crate) async fn workspace(&self) -> String {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let id = format!("w{number:05}");
        let mut owner = self.owner.clone();
        owner.workspace(&id, "klg", &["live", "test"]).await.id
    }

    /// A new admin key; without a workspace, of the system.
    pub(crate) async fn caller(
        &self,
        role: AdminRole,
        workspace: &str,
        ceiling: &[&str],
    ) -> Caller {
        let asked = admin_key(role, workspace, ceiling);
        let made = create_admin(&mut self.owner.clone(), asked).await.unwrap();
        Caller {
            id: made.admin_key.unwrap().id,
            admin: self.admin(&made.token),
            token: made.token,
        }
    }

    /// A new key; without a workspace, a personal one.
    pub(crate) async fn key(&self, workspace: &str, scopes: &[&str]) -> Key {
        let request = CreateKeyRequest {
            token_prefix: prefix_of_personal(workspace),
            ..key_request(workspace, scopes)
        };
        let reply = self.owner.clone().client.create_key(request).await.unwrap();
        reply.into_inner().key.unwrap()
    }

    /// The id of the first OWNER.
    pub(crate) async fn owner_id(&self) -> String {
        whoami(&mut self.owner.clone()).await.unwrap().id
    }

    /// What `actor` did or was refused, newest first, out of all logs.
    pub(crate) async fn events_of(&self, actor: &str) -> Vec<AuditEvent> {
        self.events(ListAuditEventsRequest {
            actor: actor.to_owned(),
            ..ListAuditEventsRequest::default()
        })
        .await
    }

    /// The first page of events that fit, newest first.
    pub(crate) async fn events(&self, request: ListAuditEventsRequest) -> Vec<AuditEvent> {
        events_by(&mut self.owner.clone(), request).await
    }

    /// The refusals of `actor`, once there are as many as are expected: they
    /// are written down after the reply.
    pub(crate) async fn denials_of(&self, actor: &str, count: usize) -> Vec<AuditEvent> {
        for _ in 0..1_000 {
            let mut events = self.events_of(actor).await;
            events.retain(|event| event.action == "call.deny");
            if events.len() >= count {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{actor} has fewer than {count} refusals in the log")
    }
}

/// The first page of events that fit and `admin` may read.
pub(crate) async fn events_by(
    admin: &mut Admin,
    request: ListAuditEventsRequest,
) -> Vec<AuditEvent> {
    let request = ListAuditEventsRequest {
        page_size: 1_000,
        ..request
    };
    let reply = admin.client.list_audit_events(request).await.unwrap();
    reply.into_inner().events
}

/// An ordinary admin key, to be made.
pub(crate) fn admin_key(role: AdminRole, workspace: &str, ceiling: &[&str]) -> AdminKey {
    AdminKey {
        name: "an admin".to_owned(),
        role: role.into(),
        workspace: workspace.to_owned(),
        grant_ceiling: ceiling.iter().map(|&scope| scope.to_owned()).collect(),
        ..AdminKey::default()
    }
}

pub(crate) async fn create_admin(
    admin: &mut Admin,
    asked: AdminKey,
) -> Result<CreateAdminKeyResponse, Status> {
    let request = CreateAdminKeyRequest {
        admin_key: Some(asked),
    };
    let reply = admin.client.create_admin_key(request).await?;
    Ok(reply.into_inner())
}

pub(crate) async fn update_admin(
    admin: &mut Admin,
    asked: AdminKey,
    fields: &[&str],
) -> Result<AdminKey, Status> {
    let request = UpdateAdminKeyRequest {
        admin_key: Some(asked),
        update_mask: mask(fields),
    };
    let reply = admin.client.update_admin_key(request).await?;
    Ok(reply.into_inner().admin_key.unwrap())
}

/// Rotates with an overlap in milliseconds.
pub(crate) async fn rotate_admin(
    admin: &mut Admin,
    id: &str,
    overlap: i64,
) -> Result<RotateAdminKeyResponse, Status> {
    let request = RotateAdminKeyRequest {
        admin_key_id: id.to_owned(),
        overlap: Some(prost_types::Duration {
            seconds: overlap / 1_000,
            nanos: i32::try_from(overlap % 1_000 * 1_000_000).unwrap(),
        }),
    };
    let reply = admin.client.rotate_admin_key(request).await?;
    Ok(reply.into_inner())
}

pub(crate) async fn revoke_admin(admin: &mut Admin, id: &str) -> Result<AdminKey, Status> {
    let request = RevokeAdminKeyRequest {
        admin_key_id: id.to_owned(),
        ..RevokeAdminKeyRequest::default()
    };
    let reply = admin.client.revoke_admin_key(request).await?;
    Ok(reply.into_inner().admin_key.unwrap())
}

pub(crate) async fn get_admin(admin: &mut Admin, id: &str) -> Result<AdminKey, Status> {
    let request = GetAdminKeyRequest {
        admin_key_id: id.to_owned(),
    };
    let reply = admin.client.get_admin_key(request).await?;
    Ok(reply.into_inner().admin_key.unwrap())
}

pub(crate) async fn whoami(admin: &mut Admin) -> Result<AdminKey, Status> {
    let reply = admin.client.who_am_i(WhoAmIRequest {}).await?;
    Ok(reply.into_inner().admin_key.unwrap())
}

/// What is asked of the call by this name, as far as it has a place for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    /// The workspace to act on or in.
    pub(crate) workspace: String,
    /// The key or admin key to act on.
    pub(crate) id: String,
    /// The scopes to hand out.
    pub(crate) scopes: Vec<String>,
    /// The name to give.
    pub(crate) name: String,
    /// The default environment to give.
    pub(crate) environment: String,
    /// The state that it is to be in.
    pub(crate) etag: String,
    /// The fields to change, if not the name.
    pub(crate) fields: Vec<String>,
    /// A note on a revocation.
    pub(crate) note: String,
    /// Reads the log of the system.
    pub(crate) system_log: bool,
}

impl Ask {
    fn mask(&self, name: &str) -> Option<FieldMask> {
        if self.fields.is_empty() {
            return mask(&[name]);
        }
        Some(FieldMask {
            paths: self.fields.clone(),
        })
    }

    fn admin_key(&self) -> AdminKey {
        AdminKey {
            id: self.id.clone(),
            name: self.name.clone(),
            role: AdminRole::Reader.into(),
            workspace: self.workspace.clone(),
            grant_ceiling: self.scopes.clone(),
            etag: self.etag.clone(),
            ..AdminKey::default()
        }
    }

    /// Makes the call of this name to a workspace, if it is one of those.
    async fn of_a_workspace(&self, admin: &mut Admin, call: &str) -> Option<Result<(), Status>> {
        let client = &mut admin.client;
        let (workspace, etag) = (self.workspace.clone(), self.etag.clone());
        let record = Some(Workspace {
            id: workspace.clone(),
            token_prefix: "klg".to_owned(),
            display_name: self.name.clone(),
            default_environment: match call {
                "UpdateWorkspace" => self.environment.clone(),
                _ => String::new(),
            },
            etag: etag.clone(),
            ..Workspace::default()
        });
        Some(match call {
            "CreateWorkspace" => {
                let request = CreateWorkspaceRequest { workspace: record };
                client.create_workspace(request).await.map(drop)
            }
            "GetWorkspace" => {
                let request = GetWorkspaceRequest { workspace };
                client.get_workspace(request).await.map(drop)
            }
            "ListWorkspaces" => {
                let request = ListWorkspacesRequest::default();
                client.list_workspaces(request).await.map(drop)
            }
            "UpdateWorkspace" => {
                let request = UpdateWorkspaceRequest {
                    workspace: record,
                    update_mask: self.mask("display_name"),
                };
                client.update_workspace(request).await.map(drop)
            }
            "DisableWorkspace" => {
                let request = DisableWorkspaceRequest { workspace, etag };
                client.disable_workspace(request).await.map(drop)
            }
            "EnableWorkspace" => {
                let request = EnableWorkspaceRequest { workspace, etag };
                client.enable_workspace(request).await.map(drop)
            }
            "DeleteWorkspace" => {
                let request = DeleteWorkspaceRequest { workspace, etag };
                client.delete_workspace(request).await.map(drop)
            }
            _ => return None,
        })
    }

    /// Makes the call of this name to a key, if it is one of those.
    async fn of_a_key(&self, admin: &mut Admin, call: &str) -> Option<Result<(), Status>> {
        let client = &mut admin.client;
        let (key_id, etag) = (self.id.clone(), self.etag.clone());
        Some(match call {
            "CreateKey" => {
                let request = CreateKeyRequest {
                    scopes: self.scopes.clone(),
                    name: self.name.clone(),
                    // Without a workspace, it is personal.
                    token_prefix: prefix_of_personal(&self.workspace),
                    ..key_request(&self.workspace, &[])
                };
                client.create_key(request).await.map(drop)
            }
            "GetKey" => client.get_key(GetKeyRequest { key_id }).await.map(drop),
            "ListKeys" => {
                let request = ListKeysRequest {
                    workspace: self.workspace.clone(),
                    ..ListKeysRequest::default()
                };
                client.list_keys(request).await.map(drop)
            }
            "UpdateKey" => {
                let key = Key {
                    id: key_id,
                    name: self.name.clone(),
                    scopes: self.scopes.clone(),
                    etag,
                    ..Key::default()
                };
                let request = UpdateKeyRequest {
                    key: Some(key),
                    update_mask: self.mask("name"),
                };
                client.update_key(request).await.map(drop)
            }
            "DisableKey" => {
                let request = DisableKeyRequest { key_id, etag };
                client.disable_key(request).await.map(drop)
            }
            "EnableKey" => {
                let request = EnableKeyRequest { key_id, etag };
                client.enable_key(request).await.map(drop)
            }
            "RevokeKey" => {
                let request = RevokeKeyRequest {
                    key_id,
                    note: self.note.clone(),
                    ..RevokeKeyRequest::default()
                };
                client.revoke_key(request).await.map(drop)
            }
            "DeleteKey" => {
                let request = DeleteKeyRequest { key_id, etag };
                client.delete_key(request).await.map(drop)
            }
            _ => return None,
        })
    }

    /// Makes the call of this name to the principal of the id, if it is one of
    /// those.
    async fn of_a_principal(&self, admin: &mut Admin, call: &str) -> Option<Result<(), Status>> {
        let client = &mut admin.client;
        let (principal, etag) = (self.id.clone(), self.etag.clone());
        let record = Some(Principal {
            id: principal.clone(),
            display_name: self.name.clone(),
            etag: etag.clone(),
            ..Principal::default()
        });
        Some(match call {
            "CreatePrincipal" => {
                let request = CreatePrincipalRequest { principal: record };
                client.create_principal(request).await.map(drop)
            }
            "GetPrincipal" => {
                let request = GetPrincipalRequest { principal };
                client.get_principal(request).await.map(drop)
            }
            "ListPrincipals" => {
                let request = ListPrincipalsRequest::default();
                client.list_principals(request).await.map(drop)
            }
            "UpdatePrincipal" => {
                let request = UpdatePrincipalRequest {
                    principal: record,
                    update_mask: self.mask("display_name"),
                };
                client.update_principal(request).await.map(drop)
            }
            "DisablePrincipal" => {
                let request = DisablePrincipalRequest { principal, etag };
                client.disable_principal(request).await.map(drop)
            }
            "EnablePrincipal" => {
                let request = EnablePrincipalRequest { principal, etag };
                client.enable_principal(request).await.map(drop)
            }
            "DeletePrincipal" => {
                let request = DeletePrincipalRequest { principal, etag };
                client.delete_principal(request).await.map(drop)
            }
            _ => return None,
        })
    }

    /// Makes the call of this name to the membership of the principal of the id,
    /// if it is one of those.
    async fn of_a_membership(&self, admin: &mut Admin, call: &str) -> Option<Result<(), Status>> {
        let client = &mut admin.client;
        let (principal, etag) = (self.id.clone(), self.etag.clone());
        let workspace = self.workspace.clone();
        Some(match call {
            "SetMembership" => {
                let membership = Membership {
                    workspace,
                    principal,
                    scope_ceiling: self.scopes.clone(),
                    etag,
                    ..Membership::default()
                };
                let request = SetMembershipRequest {
                    membership: Some(membership),
                };
                client.set_membership(request).await.map(drop)
            }
            "RemoveMembership" => {
                let request = RemoveMembershipRequest {
                    workspace,
                    principal,
                    etag,
                };
                client.remove_membership(request).await.map(drop)
            }
            "ListMemberships" => {
                let request = ListMembershipsRequest {
                    workspace,
                    ..ListMembershipsRequest::default()
                };
                client.list_memberships(request).await.map(drop)
            }
            _ => return None,
        })
    }

    /// Makes the call of this name to rotate a key, if it is one of those.
    async fn of_a_rotation(&self, admin: &mut Admin, call: &str) -> Option<Result<(), Status>> {
        let client = &mut admin.client;
        let (key_id, etag) = (self.id.clone(), self.etag.clone());
        Some(match call {
            "RotateKey" => {
                let request = RotateKeyRequest {
                    key_id,
                    etag,
                    ..RotateKeyRequest::default()
                };
                client.rotate_key(request).await.map(drop)
            }
            "FinishRotation" => {
                let request = FinishRotationRequest { key_id, etag };
                client.finish_rotation(request).await.map(drop)
            }
            "CancelRotation" => {
                let request = CancelRotationRequest { key_id, etag };
                client.cancel_rotation(request).await.map(drop)
            }
            _ => return None,
        })
    }

    /// Makes the call of this name to the credits of a key, to many keys, or that
    /// takes tokens, if it is one of those.
    async fn of_credits(&self, admin: &mut Admin, call: &str) -> Option<Result<(), Status>> {
        let (client, key_id) = (&mut admin.client, self.id.clone());
        Some(match call {
            "SetCredits" => {
                let credits = Some(Credits {
                    balance: Some(7),
                    ..Credits::default()
                });
                let request = SetCreditsRequest { key_id, credits };
                client.set_credits(request).await.map(drop)
            }
            "AdjustCredits" => {
                let request = AdjustCreditsRequest {
                    key_id,
                    delta: 7,
                    request_id: String::new(),
                };
                client.adjust_credits(request).await.map(drop)
            }
            "ExplainCheck" => {
                let request = ExplainCheckRequest {
                    workspace: self.workspace.clone(),
                    ..ExplainCheckRequest::default()
                };
                client.explain_check(request).await.map(drop)
            }
            "IdentifyTokens" => {
                let tokens = vec!["no token".to_owned()];
                let request = IdentifyTokensRequest { tokens };
                client.identify_tokens(request).await.map(drop)
            }
            "ImportKeys" => self.import(admin).await,
            _ => return None,
        })
    }

    /// Imports one key. What is refused of it, and not of the call, is told in
    /// the words of the call that would issue it.
    async fn import(&self, admin: &mut Admin) -> Result<(), Status> {
        let key = ImportKey {
            token: format!("other_{}_{}", self.name.len(), rand::random::<u128>()),
            name: self.name.clone(),
            principal: "user:ada".to_owned(),
            scopes: self.scopes.clone(),
            ..ImportKey::default()
        };
        let options = Some(ImportOptions {
            workspace: self.workspace.clone(),
            dry_run: false,
        });
        let keys = vec![key];
        let request = tokio_stream::iter([ImportKeysRequest { options, keys }]);
        let mut results = admin.client.import_keys(request).await?.into_inner();
        let mut outcome = None;
        while let Some(message) = results.message().await? {
            outcome = message.results.into_iter().next();
        }
        let outcome = outcome.unwrap();
        let granted = outcome.outcome() == ImportOutcome::Imported;
        if granted {
            return Ok(());
        }
        let [violation] = outcome.violations.as_slice() else {
            panic!("{outcome:?}")
        };
        assert_eq!(violation.field, "scopes", "{outcome:?}");
        let mut details = ErrorDetails::new();
        details.set_error_info("GRANT_CEILING_EXCEEDED", "keyward", HashMap::new());
        let told = violation.description.clone();
        Err(Status::with_error_details(
            Code::PermissionDenied,
            told,
            details,
        ))
    }

    /// Makes the call of this name, whichever it is.
    pub(crate) async fn send(&self, admin: &mut Admin, call: &str) -> Result<(), Status> {
        if let Some(answer) = self.of_a_workspace(admin, call).await {
            return answer;
        }
        if let Some(answer) = self.of_a_key(admin, call).await {
            return answer;
        }
        if let Some(answer) = self.of_a_principal(admin, call).await {
            return answer;
        }
        if let Some(answer) = self.of_a_membership(admin, call).await {
            return answer;
        }
        if let Some(answer) = self.of_a_rotation(admin, call).await {
            return answer;
        }
        if let Some(answer) = self.of_credits(admin, call).await {
            return answer;
        }
        match call {
            "WhoAmI" => whoami(admin).await.map(drop),
            "CreateAdminKey" => create_admin(admin, self.admin_key()).await.map(drop),
            "GetAdminKey" => get_admin(admin, &self.id).await.map(drop),
            "ListAdminKeys" => {
                let request = ListAdminKeysRequest {
                    workspace: self.workspace.clone(),
                    ..ListAdminKeysRequest::default()
                };
                admin.client.list_admin_keys(request).await.map(drop)
            }
            "UpdateAdminKey" => {
                let request = UpdateAdminKeyRequest {
                    admin_key: Some(self.admin_key()),
                    update_mask: self.mask("name"),
                };
                admin.client.update_admin_key(request).await.map(drop)
            }
            "RotateAdminKey" => rotate_admin(admin, &self.id, 0).await.map(drop),
            "RevokeAdminKey" => {
                let request = RevokeAdminKeyRequest {
                    admin_key_id: self.id.clone(),
                    note: self.note.clone(),
                    ..RevokeAdminKeyRequest::default()
                };
                admin.client.revoke_admin_key(request).await.map(drop)
            }
            "ListAuditEvents" => {
                let request = ListAuditEventsRequest {
                    log: match (self.system_log, self.workspace.as_str()) {
                        (true, _) => Some(Log::System(SystemLog {})),
                        (false, "") => None,
                        (false, id) => Some(Log::Workspace(id.to_owned())),
                    },
                    ..ListAuditEventsRequest::default()
                };
                admin.client.list_audit_events(request).await.map(drop)
            }
            other => panic!("{other} is no call that the tests know how to make"),
        }
    }
}

/// What the tokens of a personal key start with, if it is one.
fn prefix_of_personal(workspace: &str) -> String {
    match workspace {
        "" => "klg_user".to_owned(),
        _ => String::new(),
    }
}

fn mask(fields: &[&str]) -> Option<FieldMask> {
    Some(FieldMask {
        paths: fields.iter().map(|&field| field.to_owned()).collect(),
    })
}

/// The status and the reason of a refusal, as in
/// `PERMISSION_DENIED, ROLE_INSUFFICIENT`.
pub(crate) fn told(status: &Status) -> String {
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no reason in {status:?}"));
    assert_eq!(info.domain, "keyward");
    format!("{}, {}", code_name(status.code()), info.reason)
}

/// The metadata of the reason of a refusal.
pub(crate) fn said(status: &Status, name: &str) -> String {
    let info = status.get_details_error_info().unwrap();
    info.metadata.get(name).cloned().unwrap_or_default()
}
