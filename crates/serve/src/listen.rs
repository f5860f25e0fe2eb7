//! Addresses, certificates, and taking connections.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::connection;
use crate::error::Error;
use crate::exchange::{Door, Shared};
use crate::settings::Tls;
use crate::workers::Workers;

/// The certificate in use; none without TLS.
pub(crate) type Certificate = Arc<RwLock<Option<Arc<ServerConfig>>>>;

/// An address that is taken, and what is behind it.
pub(crate) struct Listener {
    socket: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) door: Door,
    pub(crate) certificate: Certificate,
}

impl Listener {
    pub(crate) async fn bind(
        address: SocketAddr,
        door: Door,
        certificate: Certificate,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self {
            socket,
            address,
            door,
            certificate,
        })
    }

    /// Takes connections until the server stops. Each holds `alive` until its end.
    pub(crate) async fn accept(
        self,
        shared: Arc<Shared>,
        workers: Arc<Workers>,
        places: Arc<Semaphore>,
        mut stop: watch::Receiver<bool>,
        alive: mpsc::Sender<()>,
    ) {
        while !*stop.borrow() {
            // Who comes when all places are taken waits in the kernel's queue.
            let taken = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                let taken = self.socket.accept().await;
                // A worker waits for it from here on.
                let taken = taken.and_then(|(stream, peer)| Ok((stream.into_std()?, peer)));
                Some((place, taken))
            };
            let taken = tokio::select! {
                taken = taken => taken,
                _ = stop.changed() => return,
            };
            match taken {
                None => return,
                Some((_, Err(error))) => {
                    // Out of handles: some come back when answers end.
                    if !is_of_one(&error) {
                        shared
                            .log
                            .note("warning", &format!("cannot take a connection: {error}"));
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                Some((place, Ok((stream, peer)))) => {
                    let certificate = self
                        .certificate
                        .read()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clone();
                    let (shared, stop, door) = (Arc::clone(&shared), stop.clone(), self.door);
                    let alive = alive.clone();
                    workers.spawn(async move {
                        shared.metrics.connected();
                        if let Ok(stream) = TcpStream::from_std(stream) {
                            serve(stream, peer, door, certificate, Arc::clone(&shared), stop).await;
                        }
                        shared.metrics.disconnected();
                        drop((place, alive));
                    });
                }
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    door: Door,
    certificate: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) {
    // Heads and ends of answers need not wait for more.
    let _ = stream.set_nodelay(true);
    let peer = peer.ip().to_canonical();
    let Some(certificate) = certificate else {
        return connection::serve(stream, peer, door, shared, stop).await;
    };
    let handshake = TlsAcceptor::from(certificate).accept(stream);
    if let Ok(Ok(stream)) = tokio::time::timeout(shared.limits.header, handshake).await {
        connection::serve(stream, peer, door, shared, stop).await;
    }
}

/// Whether the connection was gone before it was taken.
fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Reads a certificate and its key.
pub(crate) fn certificate(tls: &Tls) -> Result<Arc<ServerConfig>, Error> {
    let certificates = read(&tls.certificate)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificates).collect();
    let certificates = certificates.map_err(|error| wrong(&tls.certificate, error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong(
            &tls.certificate,
            "there is no certificate in it".to_owned(),
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&tls.key)?);
    let key = key.map_err(|error| wrong(&tls.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(certificates, key)
        });
    let mut config = config.map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let problem = format!("it is not the key of `{}`", tls.certificate.display());
            wrong(&tls.key, problem)
        }
        error => wrong(&tls.key, error.to_string()),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs_err::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn wrong(path: &Path, problem: String) -> Error {
    Error::Certificate {
        path: path.to_owned(),
        problem,
    }
}
