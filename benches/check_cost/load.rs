//! Drives a server with another message in every call, which h2load cannot:
//! 16 connections with 8 calls in flight each, from one thread.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{Request, StatusCode};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::Result;
use crate::frames::Frames;

const CONNECTIONS: usize = 16;
const IN_FLIGHT: usize = 8;

/// The byte after the prefix of an answer that denies: field 2.
const DENIED: u8 = 0x12;

/// What is still to be sent, shared by all lanes.
type Queue = Rc<RefCell<std::vec::IntoIter<Bytes>>>;

/// Makes one call and returns the answer, with its prefix.
pub(crate) fn ask(address: SocketAddr, path: &str, frame: &Bytes) -> Result<Bytes> {
    run(async {
        let mut connection = connect(address).await?;
        call(
            &mut connection,
            &format!("http://{address}{path}"),
            frame.clone(),
        )
        .await
    })
}

/// Makes `calls` calls and returns the seconds that they took. All must
/// succeed, and none may be answered with a denial.
pub(crate) fn drive(address: SocketAddr, path: &str, frames: &Frames, calls: usize) -> Result<f64> {
    let messages: Vec<Bytes> = (0..calls).map(|_| frames.next()).collect();
    let queue = Rc::new(RefCell::new(messages.into_iter()));
    let target: Rc<str> = format!("http://{address}{path}").into();
    run(async {
        let mut connections = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            connections.push(connect(address).await?);
        }
        let started = Instant::now();
        let mut lanes = JoinSet::new();
        for connection in &connections {
            for _ in 0..IN_FLIGHT {
                lanes.spawn_local(lane(
                    connection.clone(),
                    Rc::clone(&target),
                    Rc::clone(&queue),
                ));
            }
        }
        while let Some(lane) = lanes.join_next().await {
            lane??;
        }
        Ok(started.elapsed().as_secs_f64())
    })
}

/// Runs on this thread alone, as h2load does.
fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    LocalSet::new().block_on(&runtime, work)
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Bytes>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = h2::client::handshake(socket).await?;
    // Its failure fails the calls on it.
    tokio::task::spawn_local(connection);
    Ok(sender)
}

/// Makes one call after the other until there are no more messages.
async fn lane(mut connection: SendRequest<Bytes>, target: Rc<str>, queue: Queue) -> Result<()> {
    loop {
        let next = queue.borrow_mut().next();
        let Some(message) = next else {
            return Ok(());
        };
        let answer = call(&mut connection, &target, message).await?;
        if answer.get(5) == Some(&DENIED) {
            return Err("a check was denied".into());
        }
    }
}

async fn call(connection: &mut SendRequest<Bytes>, target: &str, message: Bytes) -> Result<Bytes> {
    let request = Request::post(target)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    std::future::poll_fn(|context| connection.poll_ready(context)).await?;
    let (response, mut body) = connection.send_request(request, false)?;
    body.send_data(message, true)?;

    let response = response.await?;
    let (head, mut body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(format!("HTTP status {}", head.status).into());
    }
    let mut answer = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        answer.extend_from_slice(&part);
    }
    let trailers = body.trailers().await?.unwrap_or(head.headers);
    match trailers.get("grpc-status") {
        Some(status) if status == "0" => Ok(answer.freeze()),
        status => Err(format!("gRPC status {status:?}: {:?}", trailers.get("grpc-message")).into()),
    }
}
