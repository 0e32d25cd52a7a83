//! `keyward.v1.KeyAdmin` on the wire: decode, call the registry, encode.

use std::sync::Arc;

use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::service::admission::{Actor, Admission};
use crate::service::registry::{ListKeys, Registry};

use super::pb::key_admin_server::{KeyAdmin, KeyAdminServer};
use super::pb::{
    CreateKeyRequest, CreateKeyResponse, CreateWorkspaceRequest, CreateWorkspaceResponse,
    GetKeyRequest, GetKeyResponse, GetWorkspaceRequest, GetWorkspaceResponse, ListKeysRequest,
    ListKeysResponse, RevokeKeyRequest, RevokeKeyResponse,
};
use super::{convert, status};

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
}

impl KeyAdminService {
    /// The server of `registry`, for those whom `admission` admits.
    #[must_use]
    pub fn server(registry: Arc<Registry>, admission: Admission) -> KeyAdminServer<Self> {
        KeyAdminServer::new(Self {
            registry,
            admission,
        })
        .max_decoding_message_size(MAX_MESSAGE_LEN)
    }

    fn actor(&self, metadata: &MetadataMap) -> Result<Actor, Status> {
        let mut values = metadata.get_all("authorization").iter();
        let value = match (values.next(), values.next()) {
            (Some(value), None) => value.as_bytes(),
            (None, _) => b"",
            // Two values are what one with a comma is: not one credential.
            (Some(_), Some(_)) => b",",
        };
        self.admission
            .authenticate(value)
            .map_err(|error| status::of(&error))
    }
}

#[tonic::async_trait]
impl KeyAdmin for KeyAdminService {
    async fn create_workspace(
        &self,
        request: Request<CreateWorkspaceRequest>,
    ) -> Result<Response<CreateWorkspaceResponse>, Status> {
        let actor = self.actor(request.metadata())?;
        let draft = convert::workspace_draft(request.into_inner().workspace.unwrap_or_default());
        let created = self
            .registry
            .create_workspace(&actor, draft)
            .await
            .map_err(|error| status::of(&error))?;
        Ok(Response::new(CreateWorkspaceResponse {
            workspace: Some(convert::workspace(created)),
        }))
    }

    async fn get_workspace(
        &self,
        request: Request<GetWorkspaceRequest>,
    ) -> Result<Response<GetWorkspaceResponse>, Status> {
        let actor = self.actor(request.metadata())?;
        let id = request.into_inner().workspace;
        let found = self
            .registry
            .get_workspace(&actor, &id)
            .map_err(|error| status::of(&error))?;
        Ok(Response::new(GetWorkspaceResponse {
            workspace: Some(convert::workspace(found)),
        }))
    }

    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<CreateKeyResponse>, Status> {
        let actor = self.actor(request.metadata())?;
        let draft = convert::key_draft(request.into_inner());
        let issued = self
            .registry
            .create_key(&actor, draft)
            .await
            .map_err(|error| status::of(&error))?;
        let token = issued.token.expose().to_owned();
        Ok(Response::new(CreateKeyResponse {
            key: Some(convert::key(issued.view)),
            token,
        }))
    }

    async fn get_key(
        &self,
        request: Request<GetKeyRequest>,
    ) -> Result<Response<GetKeyResponse>, Status> {
        let actor = self.actor(request.metadata())?;
        let id = request.into_inner().key_id;
        let found = self
            .registry
            .get_key(&actor, &id)
            .await
            .map_err(|error| status::of(&error))?;
        Ok(Response::new(GetKeyResponse {
            key: Some(convert::key(found)),
        }))
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        let actor = self.actor(request.metadata())?;
        let ListKeysRequest {
            workspace,
            page_size,
            page_token,
            ..
        } = request.into_inner();
        let question = ListKeys {
            workspace,
            page_size,
            page_token,
        };
        let page = self
            .registry
            .list_keys(&actor, question)
            .await
            .map_err(|error| status::of(&error))?;
        let keys = page.keys.into_iter().map(convert::key).collect();
        Ok(Response::new(ListKeysResponse {
            keys,
            next_page_token: page.next_page_token,
        }))
    }

    async fn revoke_key(
        &self,
        request: Request<RevokeKeyRequest>,
    ) -> Result<Response<RevokeKeyResponse>, Status> {
        let actor = self.actor(request.metadata())?;
        let RevokeKeyRequest { key_id, reason, .. } = request.into_inner();
        let reason =
            convert::revocation_reason(reason).map_err(|error| status::of(&error.into()))?;
        let revoked = self
            .registry
            .revoke_key(&actor, &key_id, reason)
            .await
            .map_err(|error| status::of(&error))?;
        Ok(Response::new(RevokeKeyResponse {
            key: Some(convert::key(revoked)),
        }))
    }

    async fn who_am_i(
        &self,
        _: Request<super::pb::WhoAmIRequest>,
    ) -> Result<Response<super::pb::WhoAmIResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn list_workspaces(
        &self,
        _: Request<super::pb::ListWorkspacesRequest>,
    ) -> Result<Response<super::pb::ListWorkspacesResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn update_workspace(
        &self,
        _: Request<super::pb::UpdateWorkspaceRequest>,
    ) -> Result<Response<super::pb::UpdateWorkspaceResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn disable_workspace(
        &self,
        _: Request<super::pb::DisableWorkspaceRequest>,
    ) -> Result<Response<super::pb::DisableWorkspaceResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn enable_workspace(
        &self,
        _: Request<super::pb::EnableWorkspaceRequest>,
    ) -> Result<Response<super::pb::EnableWorkspaceResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn delete_workspace(
        &self,
        _: Request<super::pb::DeleteWorkspaceRequest>,
    ) -> Result<Response<super::pb::DeleteWorkspaceResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn update_key(
        &self,
        _: Request<super::pb::UpdateKeyRequest>,
    ) -> Result<Response<super::pb::UpdateKeyResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn disable_key(
        &self,
        _: Request<super::pb::DisableKeyRequest>,
    ) -> Result<Response<super::pb::DisableKeyResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn enable_key(
        &self,
        _: Request<super::pb::EnableKeyRequest>,
    ) -> Result<Response<super::pb::EnableKeyResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn delete_key(
        &self,
        _: Request<super::pb::DeleteKeyRequest>,
    ) -> Result<Response<super::pb::DeleteKeyResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn create_admin_key(
        &self,
        _: Request<super::pb::CreateAdminKeyRequest>,
    ) -> Result<Response<super::pb::CreateAdminKeyResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn get_admin_key(
        &self,
        _: Request<super::pb::GetAdminKeyRequest>,
    ) -> Result<Response<super::pb::GetAdminKeyResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn list_admin_keys(
        &self,
        _: Request<super::pb::ListAdminKeysRequest>,
    ) -> Result<Response<super::pb::ListAdminKeysResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn update_admin_key(
        &self,
        _: Request<super::pb::UpdateAdminKeyRequest>,
    ) -> Result<Response<super::pb::UpdateAdminKeyResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn rotate_admin_key(
        &self,
        _: Request<super::pb::RotateAdminKeyRequest>,
    ) -> Result<Response<super::pb::RotateAdminKeyResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn revoke_admin_key(
        &self,
        _: Request<super::pb::RevokeAdminKeyRequest>,
    ) -> Result<Response<super::pb::RevokeAdminKeyResponse>, Status> {
        Err(status::unimplemented())
    }

    async fn list_audit_events(
        &self,
        _: Request<super::pb::ListAuditEventsRequest>,
    ) -> Result<Response<super::pb::ListAuditEventsResponse>, Status> {
        Err(status::unimplemented())
    }
}
