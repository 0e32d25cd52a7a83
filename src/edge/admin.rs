//! `keyward.v1.KeyAdmin` on the wire: each call authenticated, decoded, handed
//! to the registry, and encoded; those that are refused are written down.

use std::sync::Arc;

use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::service::admission::{Actor, Admission};
use crate::service::denials::Denials;
use crate::service::error::RegistryError;
use crate::service::registry::{PageQuestion, Registry};

use super::convert::{self, admin_key, audit_event, key, workspace};
use super::pb::key_admin_server::{KeyAdmin, KeyAdminServer};
use super::pb::*;
use super::status;

/// The name of the service, as health and reflection know it.
pub const SERVICE: &str = "keyward.v1.KeyAdmin";

/// The largest message that is read, in bytes: well above a key at all of its
/// limits.
const MAX_MESSAGE_LEN: usize = 64 * 1024;

/// Serves operators, each call of whom is authenticated.
#[derive(Clone, Debug)]
pub struct KeyAdminService {
    registry: Arc<Registry>,
    admission: Admission,
    denials: Arc<Denials>,
}

impl KeyAdminService {
    /// Serves `registry` to those whom `admission` admits, and notes with
    /// `denials` who is refused.
    #[must_use]
    pub const fn new(registry: Arc<Registry>, admission: Admission, denials: Arc<Denials>) -> Self {
        Self {
            registry,
            admission,
            denials,
        }
    }

    /// The server of it.
    #[must_use]
    pub fn server(self) -> KeyAdminServer<Self> {
        KeyAdminServer::new(self).max_decoding_message_size(MAX_MESSAGE_LEN)
    }

    /// Finds out who calls, and answers with what `act` makes of that.
    async fn call<M, R, F>(
        &self,
        call: &'static str,
        request: Request<M>,
        act: impl FnOnce(Arc<Registry>, Actor, M) -> F + Send,
    ) -> Result<Response<R>, Status>
    where
        M: Send,
        F: Future<Output = Result<R, RegistryError>> + Send,
    {
        let (metadata, _, message) = request.into_parts();
        let actor = self
            .admission
            .authenticate(authorization(&metadata))
            .map_err(|error| self.refuse(None, call, &error))?;
        act(Arc::clone(&self.registry), actor.clone(), message)
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(Some(&actor), call, &error))
    }

    fn refuse(&self, actor: Option<&Actor>, call: &'static str, error: &RegistryError) -> Status {
        self.denials.note(actor, call, error);
        status::of(error)
    }
}

/// The one credential of a call. Two values are what one with a comma is: not
/// one credential.
fn authorization(metadata: &MetadataMap) -> &[u8] {
    let mut values = metadata.get_all("authorization").iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.as_bytes(),
        (None, _) => b"",
        (Some(_), Some(_)) => b",",
    }
}

#[tonic::async_trait]
impl KeyAdmin for KeyAdminService {
    async fn who_am_i(
        &self,
        request: Request<WhoAmIRequest>,
    ) -> Result<Response<WhoAmIResponse>, Status> {
        self.call("WhoAmI", request, |registry, actor, _| async move {
            let admin = registry.who_am_i(&actor).await?;
            Ok(WhoAmIResponse {
                admin_key: Some(admin_key::shown(admin)),
                server_version: env!("CARGO_PKG_VERSION").to_owned(),
            })
        })
        .await
    }

    async fn create_workspace(
        &self,
        request: Request<CreateWorkspaceRequest>,
    ) -> Result<Response<CreateWorkspaceResponse>, Status> {
        self.call(
            "CreateWorkspace",
            request,
            |registry, actor, request| async move {
                let draft = workspace::draft(request.workspace.unwrap_or_default());
                let created = registry.create_workspace(&actor, draft).await?;
                Ok(CreateWorkspaceResponse {
                    workspace: Some(workspace::shown(created)),
                })
            },
        )
        .await
    }

    async fn get_workspace(
        &self,
        request: Request<GetWorkspaceRequest>,
    ) -> Result<Response<GetWorkspaceResponse>, Status> {
        self.call(
            "GetWorkspace",
            request,
            |registry, actor, request| async move {
                let found = registry.get_workspace(&actor, &request.workspace).await?;
                Ok(GetWorkspaceResponse {
                    workspace: Some(workspace::shown(found)),
                })
            },
        )
        .await
    }

    async fn list_workspaces(
        &self,
        request: Request<ListWorkspacesRequest>,
    ) -> Result<Response<ListWorkspacesResponse>, Status> {
        self.call(
            "ListWorkspaces",
            request,
            |registry, actor, request| async move {
                let question = PageQuestion {
                    size: request.page_size,
                    token: request.page_token,
                };
                let page = registry.list_workspaces(&actor, question).await?;
                Ok(ListWorkspacesResponse {
                    workspaces: page.items.into_iter().map(workspace::shown).collect(),
                    next_page_token: page.next_page_token,
                })
            },
        )
        .await
    }

    async fn update_workspace(
        &self,
        request: Request<UpdateWorkspaceRequest>,
    ) -> Result<Response<UpdateWorkspaceResponse>, Status> {
        self.call(
            "UpdateWorkspace",
            request,
            |registry, actor, request| async move {
                let asked = request.workspace.unwrap_or_default();
                let (id, etag) = (asked.id.clone(), asked.etag.clone());
                let patch = workspace::patch(asked, request.update_mask)?;
                let changed = registry
                    .update_workspace(&actor, (&id, &etag), patch)
                    .await?;
                Ok(UpdateWorkspaceResponse {
                    workspace: Some(workspace::shown(changed)),
                })
            },
        )
        .await
    }

    async fn disable_workspace(
        &self,
        request: Request<DisableWorkspaceRequest>,
    ) -> Result<Response<DisableWorkspaceResponse>, Status> {
        self.call(
            "DisableWorkspace",
            request,
            |registry, actor, request| async move {
                let which = (request.workspace.as_str(), request.etag.as_str());
                let changed = registry.switch_workspace(&actor, which, true).await?;
                Ok(DisableWorkspaceResponse {
                    workspace: Some(workspace::shown(changed)),
                })
            },
        )
        .await
    }

    async fn enable_workspace(
        &self,
        request: Request<EnableWorkspaceRequest>,
    ) -> Result<Response<EnableWorkspaceResponse>, Status> {
        self.call(
            "EnableWorkspace",
            request,
            |registry, actor, request| async move {
                let which = (request.workspace.as_str(), request.etag.as_str());
                let changed = registry.switch_workspace(&actor, which, false).await?;
                Ok(EnableWorkspaceResponse {
                    workspace: Some(workspace::shown(changed)),
                })
            },
        )
        .await
    }

    async fn delete_workspace(
        &self,
        request: Request<DeleteWorkspaceRequest>,
    ) -> Result<Response<DeleteWorkspaceResponse>, Status> {
        self.call(
            "DeleteWorkspace",
            request,
            |registry, actor, request| async move {
                let which = (request.workspace.as_str(), request.etag.as_str());
                registry.delete_workspace(&actor, which).await?;
                Ok(DeleteWorkspaceResponse {})
            },
        )
        .await
    }

    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<CreateKeyResponse>, Status> {
        self.call(
            "CreateKey",
            request,
            |registry, actor, request| async move {
                let issued = registry.create_key(&actor, key::draft(request)).await?;
                Ok(CreateKeyResponse {
                    token: issued.token.expose().to_owned(),
                    key: Some(key::shown(issued.view)),
                })
            },
        )
        .await
    }

    async fn get_key(
        &self,
        request: Request<GetKeyRequest>,
    ) -> Result<Response<GetKeyResponse>, Status> {
        self.call("GetKey", request, |registry, actor, request| async move {
            let found = registry.get_key(&actor, &request.key_id).await?;
            Ok(GetKeyResponse {
                key: Some(key::shown(found)),
            })
        })
        .await
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        self.call("ListKeys", request, |registry, actor, request| async move {
            let (filter, question) = key::question(request)?;
            let page = registry.list_keys(&actor, filter, question).await?;
            Ok(ListKeysResponse {
                keys: page.items.into_iter().map(key::shown).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn update_key(
        &self,
        request: Request<UpdateKeyRequest>,
    ) -> Result<Response<UpdateKeyResponse>, Status> {
        self.call(
            "UpdateKey",
            request,
            |registry, actor, request| async move {
                let asked = request.key.unwrap_or_default();
                let (id, etag) = (asked.id.clone(), asked.etag.clone());
                let patch = key::patch(asked, request.update_mask)?;
                let changed = registry.update_key(&actor, (&id, &etag), patch).await?;
                Ok(UpdateKeyResponse {
                    key: Some(key::shown(changed)),
                })
            },
        )
        .await
    }

    async fn disable_key(
        &self,
        request: Request<DisableKeyRequest>,
    ) -> Result<Response<DisableKeyResponse>, Status> {
        self.call(
            "DisableKey",
            request,
            |registry, actor, request| async move {
                let which = (request.key_id.as_str(), request.etag.as_str());
                let changed = registry.switch_key(&actor, which, true).await?;
                Ok(DisableKeyResponse {
                    key: Some(key::shown(changed)),
                })
            },
        )
        .await
    }

    async fn enable_key(
        &self,
        request: Request<EnableKeyRequest>,
    ) -> Result<Response<EnableKeyResponse>, Status> {
        self.call(
            "EnableKey",
            request,
            |registry, actor, request| async move {
                let which = (request.key_id.as_str(), request.etag.as_str());
                let changed = registry.switch_key(&actor, which, false).await?;
                Ok(EnableKeyResponse {
                    key: Some(key::shown(changed)),
                })
            },
        )
        .await
    }

    async fn revoke_key(
        &self,
        request: Request<RevokeKeyRequest>,
    ) -> Result<Response<RevokeKeyResponse>, Status> {
        self.call(
            "RevokeKey",
            request,
            |registry, actor, request| async move {
                let reason = convert::revocation_reason(request.reason)?;
                let revoked = registry
                    .revoke_key(&actor, &request.key_id, reason, &request.note)
                    .await?;
                Ok(RevokeKeyResponse {
                    key: Some(key::shown(revoked)),
                })
            },
        )
        .await
    }

    async fn delete_key(
        &self,
        request: Request<DeleteKeyRequest>,
    ) -> Result<Response<DeleteKeyResponse>, Status> {
        self.call(
            "DeleteKey",
            request,
            |registry, actor, request| async move {
                let which = (request.key_id.as_str(), request.etag.as_str());
                registry.delete_key(&actor, which).await?;
                Ok(DeleteKeyResponse {})
            },
        )
        .await
    }

    async fn create_admin_key(
        &self,
        request: Request<CreateAdminKeyRequest>,
    ) -> Result<Response<CreateAdminKeyResponse>, Status> {
        self.call(
            "CreateAdminKey",
            request,
            |registry, actor, request| async move {
                let draft = admin_key::draft(request.admin_key.unwrap_or_default())?;
                let created = registry.create_admin(&actor, draft).await?;
                Ok(CreateAdminKeyResponse {
                    token: created.token.expose().to_owned(),
                    admin_key: Some(admin_key::shown(created.view)),
                })
            },
        )
        .await
    }

    async fn get_admin_key(
        &self,
        request: Request<GetAdminKeyRequest>,
    ) -> Result<Response<GetAdminKeyResponse>, Status> {
        self.call(
            "GetAdminKey",
            request,
            |registry, actor, request| async move {
                let found = registry.get_admin(&actor, &request.admin_key_id).await?;
                Ok(GetAdminKeyResponse {
                    admin_key: Some(admin_key::shown(found)),
                })
            },
        )
        .await
    }

    async fn list_admin_keys(
        &self,
        request: Request<ListAdminKeysRequest>,
    ) -> Result<Response<ListAdminKeysResponse>, Status> {
        self.call(
            "ListAdminKeys",
            request,
            |registry, actor, request| async move {
                let question = PageQuestion {
                    size: request.page_size,
                    token: request.page_token,
                };
                let page = registry
                    .list_admins(&actor, &request.workspace, question)
                    .await?;
                Ok(ListAdminKeysResponse {
                    admin_keys: page.items.into_iter().map(admin_key::shown).collect(),
                    next_page_token: page.next_page_token,
                })
            },
        )
        .await
    }

    async fn update_admin_key(
        &self,
        request: Request<UpdateAdminKeyRequest>,
    ) -> Result<Response<UpdateAdminKeyResponse>, Status> {
        self.call(
            "UpdateAdminKey",
            request,
            |registry, actor, request| async move {
                let asked = request.admin_key.unwrap_or_default();
                let (id, etag) = (asked.id.clone(), asked.etag.clone());
                let patch = admin_key::patch(asked, request.update_mask)?;
                let changed = registry.update_admin(&actor, (&id, &etag), patch).await?;
                Ok(UpdateAdminKeyResponse {
                    admin_key: Some(admin_key::shown(changed)),
                })
            },
        )
        .await
    }

    async fn rotate_admin_key(
        &self,
        request: Request<RotateAdminKeyRequest>,
    ) -> Result<Response<RotateAdminKeyResponse>, Status> {
        self.call(
            "RotateAdminKey",
            request,
            |registry, actor, request| async move {
                let overlap = convert::read_span("overlap", request.overlap)?;
                let rotated = registry
                    .rotate_admin(&actor, &request.admin_key_id, overlap)
                    .await?;
                Ok(RotateAdminKeyResponse {
                    token: rotated.token.expose().to_owned(),
                    admin_key: Some(admin_key::shown(rotated.view)),
                })
            },
        )
        .await
    }

    async fn revoke_admin_key(
        &self,
        request: Request<RevokeAdminKeyRequest>,
    ) -> Result<Response<RevokeAdminKeyResponse>, Status> {
        self.call(
            "RevokeAdminKey",
            request,
            |registry, actor, request| async move {
                let reason = convert::revocation_reason(request.reason)?;
                let revoked = registry
                    .revoke_admin(&actor, &request.admin_key_id, reason, &request.note)
                    .await?;
                Ok(RevokeAdminKeyResponse {
                    admin_key: Some(admin_key::shown(revoked)),
                })
            },
        )
        .await
    }

    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        self.call(
            "ListAuditEvents",
            request,
            |registry, actor, request| async move {
                let (filter, question) = audit_event::question(request)?;
                let page = registry.list_audit_events(&actor, filter, question).await?;
                Ok(ListAuditEventsResponse {
                    events: page.items.into_iter().map(audit_event::shown).collect(),
                    next_page_token: page.next_page_token,
                })
            },
        )
        .await
    }
}
