//! `keyward.v1.KeyAdmin` on the wire: each call authenticated, decoded, handed
//! to the registry, and encoded; those that are refused are written down.

mod admin_keys;
mod credits;
mod explain;
mod import;
mod keys;
mod principals;
mod rotation;
mod token_search;
mod workspaces;

use std::sync::Arc;

use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use crate::metrics::admin::AdminCounts;
use crate::service::admission::{Actor, Admission};
use crate::service::denials::Denials;
use crate::service::error::RegistryError;
use crate::service::registry::Registry;

use super::pb::key_admin_server::{KeyAdmin, KeyAdminServer};
use super::pb::*;
use super::status;

/// The name of the service, as health and reflection know it.
pub const SERVICE: &str = "keyward.v1.KeyAdmin";

/// A call whose request goes on.
pub(super) const IMPORT_KEYS: &str = "/keyward.v1.KeyAdmin/ImportKeys";

/// The largest message that is read, in bytes: well above a key at all of its
/// limits.
const MAX_MESSAGE_LEN: usize = 64 * 1024;

/// Serves operators, each call of whom is authenticated.
#[derive(Clone, Debug)]
pub struct KeyAdminService {
    registry: Arc<Registry>,
    admission: Admission,
    denials: Arc<Denials>,
    counts: Arc<AdminCounts>,
}

impl KeyAdminService {
    /// Serves `registry` to those whom `admission` admits, and notes with
    /// `denials` who is refused.
    #[must_use]
    pub fn new(registry: Arc<Registry>, admission: Admission, denials: Arc<Denials>) -> Self {
        Self {
            registry,
            admission,
            denials,
            counts: Arc::new(AdminCounts::new(METHODS, &RegistryError::DENIALS)),
        }
    }

    /// What it counts of its calls.
    #[must_use]
    pub fn counts(&self) -> Arc<AdminCounts> {
        Arc::clone(&self.counts)
    }

    /// The server of it.
    #[must_use]
    pub fn server(self) -> KeyAdminServer<Self> {
        KeyAdminServer::new(self).max_decoding_message_size(MAX_MESSAGE_LEN)
    }

    /// Finds out who calls, and answers with what `act` makes of that: to its
    /// end, for whoever hangs up in the middle of a change does not take it
    /// back.
    async fn call<M, R, F>(
        &self,
        call: &'static str,
        request: Request<M>,
        act: impl FnOnce(Arc<Registry>, Actor, M) -> F + Send + 'static,
    ) -> Result<Response<R>, Status>
    where
        M: Send + 'static,
        R: Send + 'static,
        F: Future<Output = Result<R, RegistryError>> + Send,
    {
        let (metadata, extensions, message) = request.into_parts();
        let actor = self
            .admission
            .authenticate(authorization(&metadata))
            .map_err(|error| self.ended(call, self.refuse(None, call, &error)))?;
        let own = self.clone();
        let acting = tokio::spawn(async move {
            // Counted until it is done.
            let _under_way = extensions;
            match act(Arc::clone(&own.registry), actor.clone(), message).await {
                Ok(answer) => {
                    own.counts.ended(call, Code::Ok as i32);
                    Ok(Response::new(answer))
                }
                Err(error) => Err(own.ended(call, own.refuse(Some(&actor), call, &error))),
            }
        });
        // It panicked, which is in the log.
        let internal = |_| Err(self.ended(call, status::of(&RegistryError::Internal)));
        acting.await.unwrap_or_else(internal)
    }

    fn refuse(&self, actor: Option<&Actor>, call: &'static str, error: &RegistryError) -> Status {
        self.note(actor, call, error);
        status::of(error)
    }

    /// Writes down that a call was denied, if that is what `error` says.
    fn note(&self, actor: Option<&Actor>, call: &'static str, error: &RegistryError) {
        if let Some(reason) = error.denial() {
            self.counts.denied(reason);
        }
        self.denials.note(actor, call, error);
    }

    /// Counts a call that ends with `status`.
    fn ended(&self, call: &'static str, status: Status) -> Status {
        self.counts.ended(call, status.code() as i32);
        status
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

/// The calls, and what answers each of them.
macro_rules! calls {
    ($($call:ident: $of:ident::$method:ident($request:ident) -> $response:ident;)*) => {
        /// The names of all of them.
        const METHODS: &[&str] = &[$(stringify!($call),)* import::CALL];

        #[tonic::async_trait]
        impl KeyAdmin for KeyAdminService {
            $(async fn $method(
                &self,
                request: Request<$request>,
            ) -> Result<Response<$response>, Status> {
                self.call(stringify!($call), request, $of::$method).await
            })*

            type ImportKeysStream = import::Results;

            async fn import_keys(
                &self,
                request: Request<tonic::Streaming<ImportKeysRequest>>,
            ) -> Result<Response<import::Results>, Status> {
                self.import(request)
            }
        }
    };
}

calls! {
    WhoAmI: admin_keys::who_am_i(WhoAmIRequest) -> WhoAmIResponse;
    CreateWorkspace: workspaces::create_workspace(CreateWorkspaceRequest) -> CreateWorkspaceResponse;
    GetWorkspace: workspaces::get_workspace(GetWorkspaceRequest) -> GetWorkspaceResponse;
    ListWorkspaces: workspaces::list_workspaces(ListWorkspacesRequest) -> ListWorkspacesResponse;
    UpdateWorkspace: workspaces::update_workspace(UpdateWorkspaceRequest) -> UpdateWorkspaceResponse;
    DisableWorkspace: workspaces::disable_workspace(DisableWorkspaceRequest) -> DisableWorkspaceResponse;
    EnableWorkspace: workspaces::enable_workspace(EnableWorkspaceRequest) -> EnableWorkspaceResponse;
    DeleteWorkspace: workspaces::delete_workspace(DeleteWorkspaceRequest) -> DeleteWorkspaceResponse;
    CreateKey: keys::create_key(CreateKeyRequest) -> CreateKeyResponse;
    GetKey: keys::get_key(GetKeyRequest) -> GetKeyResponse;
    ListKeys: keys::list_keys(ListKeysRequest) -> ListKeysResponse;
    UpdateKey: keys::update_key(UpdateKeyRequest) -> UpdateKeyResponse;
    DisableKey: keys::disable_key(DisableKeyRequest) -> DisableKeyResponse;
    EnableKey: keys::enable_key(EnableKeyRequest) -> EnableKeyResponse;
    RotateKey: rotation::rotate_key(RotateKeyRequest) -> RotateKeyResponse;
    FinishRotation: rotation::finish_rotation(FinishRotationRequest) -> FinishRotationResponse;
    CancelRotation: rotation::cancel_rotation(CancelRotationRequest) -> CancelRotationResponse;
    RevokeKey: keys::revoke_key(RevokeKeyRequest) -> RevokeKeyResponse;
    DeleteKey: keys::delete_key(DeleteKeyRequest) -> DeleteKeyResponse;
    CreatePrincipal: principals::create_principal(CreatePrincipalRequest) -> CreatePrincipalResponse;
    GetPrincipal: principals::get_principal(GetPrincipalRequest) -> GetPrincipalResponse;
    ListPrincipals: principals::list_principals(ListPrincipalsRequest) -> ListPrincipalsResponse;
    UpdatePrincipal: principals::update_principal(UpdatePrincipalRequest) -> UpdatePrincipalResponse;
    DisablePrincipal: principals::disable_principal(DisablePrincipalRequest) -> DisablePrincipalResponse;
    EnablePrincipal: principals::enable_principal(EnablePrincipalRequest) -> EnablePrincipalResponse;
    DeletePrincipal: principals::delete_principal(DeletePrincipalRequest) -> DeletePrincipalResponse;
    SetMembership: principals::set_membership(SetMembershipRequest) -> SetMembershipResponse;
    RemoveMembership: principals::remove_membership(RemoveMembershipRequest) -> RemoveMembershipResponse;
    ListMemberships: principals::list_memberships(ListMembershipsRequest) -> ListMembershipsResponse;
    SetCredits: credits::set_credits(SetCreditsRequest) -> SetCreditsResponse;
    AdjustCredits: credits::adjust_credits(AdjustCreditsRequest) -> AdjustCreditsResponse;
    CreateAdminKey: admin_keys::create_admin_key(CreateAdminKeyRequest) -> CreateAdminKeyResponse;
    GetAdminKey: admin_keys::get_admin_key(GetAdminKeyRequest) -> GetAdminKeyResponse;
    ListAdminKeys: admin_keys::list_admin_keys(ListAdminKeysRequest) -> ListAdminKeysResponse;
    UpdateAdminKey: admin_keys::update_admin_key(UpdateAdminKeyRequest) -> UpdateAdminKeyResponse;
    RotateAdminKey: admin_keys::rotate_admin_key(RotateAdminKeyRequest) -> RotateAdminKeyResponse;
    RevokeAdminKey: admin_keys::revoke_admin_key(RevokeAdminKeyRequest) -> RevokeAdminKeyResponse;
    ListAuditEvents: admin_keys::list_audit_events(ListAuditEventsRequest) -> ListAuditEventsResponse;
    ExplainCheck: explain::explain_check(ExplainCheckRequest) -> ExplainCheckResponse;
    IdentifyTokens: token_search::identify_tokens(IdentifyTokensRequest) -> IdentifyTokensResponse;
}
