//! A stock tonic server with one empty call: generated code, the prost codec,
//! `#[tokio::main]`, the default allocator, nothing set.
//!
//! Prints its address, then serves until it is killed.

use pb::echo_service_server::{EchoService, EchoServiceServer};
use tonic::{Request, Response, Status, transport::Server};

mod pb {
    tonic::include_proto!("bench.v1");
}

struct Echo;

#[tonic::async_trait]
impl EchoService for Echo {
    async fn echo(
        &self,
        _: Request<pb::EchoRequest>,
    ) -> Result<Response<pb::EchoResponse>, Status> {
        Ok(Response::new(pb::EchoResponse {}))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Bound here so that the port can be the system's choice; nodelay is what
    // `Server::serve` would set.
    let incoming = tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse()?)?
        .with_nodelay(Some(true));
    println!("{}", incoming.local_addr()?);
    Server::builder()
        .add_service(EchoServiceServer::new(Echo))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}
