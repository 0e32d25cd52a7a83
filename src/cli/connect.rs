//! The way to a server: its address, the connection, and patience.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use http::uri::Authority;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, TimeoutExpired};

use super::failure::Failure;
use super::tls::{self, Tls};

/// Where a listener is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Server {
    /// `http://host:port`.
    Http(String),
    /// `https://host:port`.
    Https(String),
    /// The path of a socket.
    Unix(String),
}

impl Server {
    /// Whether what is sent there crosses a network, and everybody on the way
    /// can read it.
    pub(crate) fn is_in_clear(&self) -> bool {
        match self {
            Self::Http(origin) => !origin
                .strip_prefix("http://")
                .and_then(|authority| authority.parse().ok())
                .is_some_and(|authority| is_this_machine(&authority)),
            Self::Https(_) | Self::Unix(_) => false,
        }
    }

    /// Connects, or says what stands in the way. `flag` is the one that names
    /// the server.
    pub(crate) async fn connect(
        &self,
        tls: &Tls,
        timeout: Duration,
        flag: &str,
    ) -> Result<Channel, Failure> {
        let mut endpoint = Endpoint::from_shared(self.to_string())
            .map_err(|error| Failure::usage(format!("{flag}: {error}")))?;
        if let Self::Https(_) = self {
            endpoint = endpoint.tls_config(tls.config()?).map_err(|error| {
                let why = root(&error);
                let pem = "--ca-file, --client-cert and --client-key are files in PEM.";
                Failure::usage(format!("what is given for TLS cannot be used: {why}"))
                    .note(tls::advice(&why).unwrap_or(pem))
            })?;
        }
        match tokio::time::timeout(timeout, endpoint.connect()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(self.unreached(&root(&error), flag)),
            Err(_) => {
                let timeout = humantime::format_duration(timeout);
                Err(self.unreached(&format!("no answer within {timeout}"), flag))
            }
        }
    }

    fn unreached(&self, why: &str, flag: &str) -> Failure {
        let failure = Failure::not_known(format!("cannot reach a keyward server at {self}: {why}"));
        match tls::advice(why) {
            Some(advice) => failure.note(advice),
            None => failure.note(format!(
                "Is it running? Start it with `keyward serve`, or name the server with {flag}."
            )),
        }
    }
}

impl FromStr for Server {
    type Err = String;

    /// Reads `http://host:port`, `https://host:port`, `host:port` or
    /// `unix:PATH`. Without a scheme, what leaves this machine is encrypted.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text
            .strip_prefix("unix://")
            .or_else(|| text.strip_prefix("unix:"))
        {
            return match path {
                "" => Err("a path is to follow `unix:`".to_owned()),
                path => Ok(Self::Unix(path.to_owned())),
            };
        }
        let (scheme, host) = match text.split_once("://") {
            Some((scheme, host)) => (Some(scheme), host),
            None => (None, text),
        };
        if let Some(scheme) = scheme.filter(|scheme| !matches!(*scheme, "http" | "https")) {
            return Err(format!("`{scheme}` is no scheme that is known here"));
        }
        let host = host.strip_suffix('/').unwrap_or(host);
        let authority: Authority = host.parse().map_err(|_| {
            "expected `http://host:port`, `https://host:port` or `unix:PATH`".to_owned()
        })?;
        let scheme = match scheme {
            Some(scheme) => scheme,
            None if is_this_machine(&authority) => "http",
            None => "https",
        };
        match (authority.port_u16(), scheme) {
            (Some(_), "https") => Ok(Self::Https(format!("https://{authority}"))),
            (Some(_), _) => Ok(Self::Http(format!("http://{authority}"))),
            (None, _) => Err(format!(
                "a port is missing, as in `{scheme}://{host}:50051`"
            )),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(origin) | Self::Https(origin) => f.write_str(origin),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// Whether the host is a loopback address, or the name of one.
fn is_this_machine(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Makes one call with a deadline that the server is told of too.
pub(crate) async fn call<M, R>(
    message: M,
    timeout: Duration,
    send: impl AsyncFnOnce(Request<M>) -> Result<Response<R>, Status>,
) -> Result<R, Status> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    match tokio::time::timeout(timeout, send(request)).await {
        Ok(reply) => reply.map(Response::into_inner),
        // As tonic says it, whose own timer may be the first.
        Err(_) => Err(Status::from_error(Box::new(TimeoutExpired(())))),
    }
}

/// What lies at the root of an error: the upper layers only say that there is
/// one.
pub(crate) fn root(error: &dyn Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::failure::Exit;
    use super::*;

    const SHORT: Duration = Duration::from_secs(2);

    #[test]
    fn addresses() {
        let read = |text: &str| text.parse::<Server>().map(|server| server.to_string());
        assert_eq!(read("127.0.0.1:50051").unwrap(), "http://127.0.0.1:50051");
        assert_eq!(
            read("http://keyward.internal:50051/").unwrap(),
            "http://keyward.internal:50051"
        );
        assert_eq!(read("[::1]:50051").unwrap(), "http://[::1]:50051");
        assert_eq!(
            read("unix:/run/keyward/admin.sock").unwrap(),
            "unix:/run/keyward/admin.sock"
        );
        assert_eq!(
            read("unix:///run/admin.sock").unwrap(),
            "unix:/run/admin.sock"
        );
        assert_eq!(read("https://a:1/").unwrap(), "https://a:1");
        // Without a scheme.
        assert_eq!(read("localhost:50051").unwrap(), "http://localhost:50051");
        assert_eq!(read("a:1").unwrap(), "https://a:1");
        assert_eq!(read("10.0.0.1:1").unwrap(), "https://10.0.0.1:1");
        for bad in [
            "",
            "localhost",
            "https://a",
            "ftp://a:1",
            "http://a:1/path",
            "unix:",
            "a b:1",
            "a:99999",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_others_can_read_is_known() {
        let in_clear = |text: &str| text.parse::<Server>().unwrap().is_in_clear();
        for on_the_way in [
            "http://keyward.internal:1",
            "http://10.0.0.1:1",
            "http://0.0.0.0:1",
            "http://[fe80::1]:1",
            "http://localhost.example.com:1",
            "http://127.0.0.1.example.com:1",
            "http://localhost@example.com:1",
            "http://127.0.0.1:1@example.com:1",
        ] {
            assert!(in_clear(on_the_way), "{on_the_way}");
        }
        for safe in [
            "http://127.0.0.1:1",
            "http://127.3.2.1:1",
            "http://[::1]:1",
            "http://[::ffff:127.0.0.1]:1",
            "http://localhost:1",
            "http://LocalHost:1",
            "https://keyward.internal:1",
            "keyward.internal:1",
            "unix:/run/keyward/admin.sock",
        ] {
            assert!(!in_clear(safe), "{safe}");
        }
    }

    #[tokio::test]
    async fn nobody_there() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        for server in [
            Server::Http(format!("http://{free}")),
            Server::Unix("/nonexistent/keyward.sock".to_owned()),
        ] {
            let failure = server
                .connect(&Tls::default(), SHORT, "--admin-server")
                .await
                .unwrap_err();
            assert_eq!(failure.exit(), Exit::NotKnown);
            let text = failure.to_string();
            assert!(
                text.contains("`keyward serve`") && text.contains("--admin-server"),
                "{text}"
            );
            assert!(
                text.contains("refused") || text.contains("No such file"),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn a_call_has_a_deadline_here_and_there() {
        let answered = call((), SHORT, async |request: Request<()>| {
            assert!(request.metadata().contains_key("grpc-timeout"));
            Ok(Response::new(7))
        });
        assert_eq!(answered.await.unwrap(), 7);

        let silent = call((), Duration::from_millis(5), async |_: Request<()>| {
            std::future::pending::<Result<Response<()>, Status>>().await
        });
        let status = silent.await.unwrap_err();
        assert!(
            status
                .source()
                .is_some_and(|source| source.is::<TimeoutExpired>())
        );
    }
}
