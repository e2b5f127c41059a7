//! Who fetches a file, many times at once.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::{Certificate, Client};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// A client that trusts this certificate.
///
/// # Errors
/// When it is none.
pub(crate) fn client(certificate: &Path) -> Result<Client> {
    let certificate = Certificate::from_pem(&std::fs::read(certificate)?)?;
    Ok(Client::builder().no_proxy().tls_certs_only([certificate]).build()?)
}

/// Has `readers` fetch `bytes` at `url`; MiB per second of all together.
///
/// # Errors
/// When one of them gets anything else.
pub(crate) async fn fetch(client: &Client, url: &str, readers: u32, bytes: u64) -> Result<f64> {
    let start = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..readers {
        let request = client.get(url);
        running.spawn(async move {
            let mut answer = request.send().await?;
            let mut got = 0;
            while let Some(chunk) = answer.chunk().await? {
                got += chunk.len() as u64;
            }
            ensure!(got == bytes, "{got} bytes instead of {bytes}");
            Ok(())
        });
    }
    while let Some(result) = running.join_next().await {
        result.context("a reader")??;
    }
    Ok(((u64::from(readers) * bytes) >> 20) as f64 / start.elapsed().as_secs_f64())
}

/// nginx with two workers before the files of a folder.
#[derive(Debug)]
pub(crate) struct Nginx {
    /// Where it is reached without TLS, and with it.
    pub(crate) urls: [String; 2],
    _child: Child,
}

impl Nginx {
    /// Starts it with a certificate and key.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn start(folder: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        let ports = [free_port()?, free_port()?];
        let root = folder.display();
        let config = format!(
            "worker_processes 2; daemon off; pid {root}/nginx.pid; error_log {root}/nginx.log; user root;
             events {{ worker_connections 1024; }}
             http {{ access_log off; sendfile on; tcp_nopush on;
                 client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
                 uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
                 server {{ listen 127.0.0.1:{}; listen 127.0.0.1:{} ssl; root {root};
                     ssl_certificate {}; ssl_certificate_key {}; }} }}",
            ports[0],
            ports[1],
            certificate.display(),
            key.display()
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, config)?;
        let child = Command::new("nginx").arg("-c").arg(&file).stdin(Stdio::null()).kill_on_drop(true).spawn()?;
        let urls = [format!("http://127.0.0.1:{}", ports[0]), format!("https://127.0.0.1:{}", ports[1])];
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(("127.0.0.1", ports[1])).await.is_ok() {
                return Ok(Self { urls, _child: child });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("nginx does not listen: {}", std::fs::read_to_string(folder.join("nginx.log"))?)
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
