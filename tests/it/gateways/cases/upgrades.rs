//! Connections that are upgraded, as web sockets are.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::gateways::process::{Place, Process};
use crate::gateways::{Gateway, IDENTITY, OnFailure, Scene};

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(in crate::gateways) async fn a_websocket_is_judged_when_it_begins<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let place = Place::new(scene.keyward.address, echo().await);
    let command = G::command(&place, OnFailure::Close);
    scene.gateway = Process::start(command, place).await;
    let listen = scene.gateway.place().listen;
    let issued = scene.admin.key("klipy", &["people:read"]).await;

    let (head, _) = upgrade(listen, "").await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");

    let credential = format!("Authorization: Bearer {}\r\n", issued.token);
    let (head, mut socket) = upgrade(listen, &credential).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // The service says first what it was told.
    let told = said(&mut socket).await;
    assert!(
        told.contains(&format!("{IDENTITY}principal: user:ada")),
        "{told}"
    );
    assert!(!told.contains(&issued.token), "{told}");

    // It goes on, whatever becomes of the key.
    scene.admin.revoke(&issued.key.unwrap().id).await;
    for message in ["one\n", "two\n"] {
        socket.write_all(message.as_bytes()).await.unwrap();
        assert_eq!(said(&mut socket).await, message);
    }
    let (head, _) = upgrade(listen, &credential).await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
}

/// Asks for a WebSocket: the head of the answer, and what comes behind it.
async fn upgrade(to: SocketAddr, credential: &str) -> (String, BufReader<TcpStream>) {
    let mut socket = BufReader::new(TcpStream::connect(to).await.unwrap());
    let request = format!(
        "GET /people/live HTTP/1.1\r\nHost: api.example.com\r\n{credential}\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    (head(&mut socket).await, socket)
}

/// The next line.
async fn said(socket: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    let read = timeout(PATIENCE, socket.read_line(&mut line)).await;
    read.expect("a line").unwrap();
    line
}

/// All up to the empty line.
async fn head(socket: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let line = said(socket).await;
        assert_ne!(line, "", "after {head}");
        head.push_str(&line);
    }
    head
}

/// A service that upgrades whoever wants it, says in a line what headers reached
/// it, and then whatever it is told. It answers all else, and ends with the test.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(BufReader::new(socket)));
        }
    });
    address
}

async fn serve(mut socket: BufReader<TcpStream>) -> std::io::Result<()> {
    let head = head(&mut socket).await.to_ascii_lowercase();
    if !head.contains("\r\nupgrade: websocket\r\n") {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return socket.write_all(answer).await;
    }
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\n\
                   Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n";
    socket.write_all(answer).await?;
    let told = head.trim_end().replace("\r\n", " | ");
    socket.write_all(format!("{told}\n").as_bytes()).await?;
    let mut some = [0; 1024];
    loop {
        let read = socket.read(&mut some).await?;
        if read == 0 {
            return Ok(());
        }
        socket.write_all(&some[..read]).await?;
    }
}
