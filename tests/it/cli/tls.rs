//! `https://` servers: whom the command line trusts, and what it shows of
//! itself. TLS ends in front of a real server, as it would at a proxy.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::Shell;
use crate::support::run;

/// An authority, and files in PEM of what it has signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    name: &'static str,
}

impl Authority {
    fn new(folder: &Path, name: &'static str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.join(format!("{name}.pem")), issuer.pem()).unwrap();
        Self {
            issuer,
            folder: folder.to_path_buf(),
            name,
        }
    }

    /// The file of the authority's own certificate.
    fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// Signs a certificate for this name, and gives its file and its key's.
    fn sign(&self, name: &str) -> [PathBuf; 2] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let files = ["cert", "key"]
            .map(|kind| self.folder.join(format!("{}-{name}-{kind}.pem", self.name)));
        fs::write(&files[0], cert.pem()).unwrap();
        fs::write(&files[1], key.serialize_pem()).unwrap();
        files
    }
}

/// Ends TLS in front of `server`, which is `http://…`; `clients` is who has to
/// have signed the certificates of clients, if they need any.
async fn in_front_of(server: &str, own: [PathBuf; 2], clients: Option<PathBuf>) -> SocketAddr {
    let roots = |file: PathBuf| {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(file).unwrap())
            .unwrap();
        Arc::new(roots)
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Some(file) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots(file), provider)
                .build()
                .unwrap(),
        ),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&own[0]).unwrap()],
            PrivateKeyDer::from_pem_file(&own[1]).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = server.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                let mut outside = acceptor.accept(client).await?;
                let mut inside = TcpStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    address
}

/// Runs a line against a server, and gives how it ended and what it told.
async fn ended(shell: &Shell, line: &str, further: &[(&str, &Path)]) -> (Option<i32>, String) {
    let mut words = line.split(' ');
    let mut command = shell.command(words.next().unwrap());
    command.args(words);
    for (flag, path) in further {
        command.arg(flag).arg(path);
    }
    let output: Output = tokio::task::block_in_place(|| run(&mut command));
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(told).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_who_signed_it_and_its_name() {
    let shell = Shell::start();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let stranger = Authority::new(folder.path(), "stranger");
    let own = authority.sign("localhost");
    let admin = in_front_of(&shell.server.admin_address, own.clone(), None).await;
    let check = in_front_of(&shell.server.check_address, own, None).await;
    let (ours, theirs) = (authority.file(), stranger.file());

    let list = format!(
        "keys list --admin-server https://localhost:{}",
        admin.port()
    );
    let asked = format!(
        "check abc --check-server https://localhost:{}",
        check.port()
    );
    assert_eq!(
        ended(&shell, &list, &[("--ca-file", &ours)]).await,
        (Some(0), "no keys\n".to_owned())
    );
    assert_eq!(
        ended(&shell, &asked, &[("--ca-file", &ours)]).await.0,
        Some(3)
    );

    // Signed by somebody else, or by nobody that the system knows.
    for flags in [&[("--ca-file", &*theirs)][..], &[]] {
        let (code, told) = ended(&shell, &list, flags).await;
        assert_eq!(code, Some(4), "{told}");
        assert!(told.contains("with --ca-file."), "{told}");
    }
    // Under another name.
    let by_number = format!(
        "keys list --admin-server https://127.0.0.1:{}",
        admin.port()
    );
    let (code, told) = ended(&shell, &by_number, &[("--ca-file", &ours)]).await;
    assert!(
        code == Some(4) && told.contains("with --server-name."),
        "{told}"
    );
    let named = format!("{by_number} --server-name localhost");
    assert_eq!(
        ended(&shell, &named, &[("--ca-file", &ours)]).await.0,
        Some(0)
    );

    // To a server that does not speak it, and the other way round.
    let plain = shell.server.admin_address.replace("http:", "https:");
    let (code, told) = ended(
        &shell,
        &format!("keys list --admin-server {plain}"),
        &[("--ca-file", &ours)],
    )
    .await;
    assert!(code == Some(4) && told.contains("`http://`"), "{told}");
    let (code, told) = ended(
        &shell,
        &format!("keys list --admin-server http://{admin}"),
        &[],
    )
    .await;
    assert!(code == Some(4) && told.contains("`https://`"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_certificate_is_shown_one() {
    let shell = Shell::start();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let stranger = Authority::new(folder.path(), "stranger");
    let ca = authority.file();
    let address = in_front_of(
        &shell.server.admin_address,
        authority.sign("localhost"),
        Some(ca.clone()),
    )
    .await;
    let list = format!(
        "keys list --admin-server https://localhost:{}",
        address.port()
    );
    let shown = |[cert, key]: &[PathBuf; 2]| {
        [
            ("--ca-file", ca.clone()),
            ("--client-cert", cert.clone()),
            ("--client-key", key.clone()),
        ]
    };
    let good = shown(&authority.sign("operator"));
    let good: Vec<_> = good.iter().map(|(flag, path)| (*flag, &**path)).collect();
    assert_eq!(ended(&shell, &list, &good).await.0, Some(0));

    let (code, told) = ended(&shell, &list, &good[..1]).await;
    assert!(
        code == Some(4) && told.contains("--client-cert and --client-key"),
        "{told}"
    );
    let bad = shown(&stranger.sign("operator"));
    let bad: Vec<_> = bad.iter().map(|(flag, path)| (*flag, &**path)).collect();
    let (code, told) = ended(&shell, &list, &bad).await;
    assert!(code == Some(4) && told.contains("--client-cert"), "{told}");
    let (code, told) = ended(&shell, &list, &good[..2]).await;
    assert!(
        code == Some(2) && told.contains("belong together"),
        "{told}"
    );
    let nonsense = [
        ("--ca-file", good[0].1),
        ("--client-cert", good[2].1),
        ("--client-key", good[0].1),
    ];
    let (code, told) = ended(&shell, &list, &nonsense).await;
    assert!(code == Some(2) && told.contains("files in PEM"), "{told}");
}
