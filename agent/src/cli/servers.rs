//! The arguments that say how servers of images are asked: what the agent's own options say to its steps.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use ferric_steps::http::{Headers, HttpOptions};
use ferric_steps::options::{Retries, Tls};

/// Arguments of every subcommand that asks servers.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Servers")]
pub struct ServerArguments {
    /// Tries after the first that brought nothing new; one that brought bytes starts the count again
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub retries: u32,
    /// Longest pause between two tries, in seconds; the first ones are shorter
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub retry_interval: u64,
    /// Limit of connecting and of each silence, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub timeout: u64,
    /// Limit of the whole transfer, in seconds; 0: none
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub max_duration: u64,
    /// Authorities to believe instead of the system's (PEM)
    #[arg(long, value_name = "FILE")]
    pub cafile: Option<PathBuf>,
    /// Our certificate, for servers that want one (PEM)
    #[arg(long, value_name = "FILE", requires = "keyfile")]
    pub certfile: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "certfile")]
    pub keyfile: Option<PathBuf>,
    /// Believe any certificate; what is downloaded is verified by its digest all the same
    #[arg(long)]
    pub insecure: bool,
    /// Proxy for http URLs; with this or the next one HTTP_PROXY, HTTPS_PROXY and ALL_PROXY of the environment do not
    /// count, which are the place for a proxy that wants a password
    #[arg(long, value_name = "URL")]
    pub http_proxy: Option<String>,
    /// Proxy for https URLs
    #[arg(long, value_name = "URL")]
    pub https_proxy: Option<String>,
    /// What is asked without proxy, instead of NO_PROXY and in its notation: hosts, .domains, networks
    #[arg(long, value_name = "HOSTS")]
    pub no_proxy: Option<String>,
    /// More to say to the server of the image, and to no other: a file of lines `Name: value`. The place for passwords and
    /// tokens: everybody on this machine can read a command line
    #[arg(long, value_name = "FILE")]
    pub headers_file: Option<PathBuf>,
}

impl ServerArguments {
    /// When to try again, and when to give up.
    pub(super) fn retries(&self) -> Retries {
        Retries {
            count: self.retries,
            interval: Duration::from_secs(self.retry_interval),
            timeout: Duration::from_secs(self.timeout),
            max_duration: Some(Duration::from_secs(self.max_duration)).filter(|limit| !limit.is_zero()),
        }
    }

    /// How to speak to servers.
    ///
    /// # Errors
    /// When the file of headers cannot be used.
    pub(super) fn http(&self) -> anyhow::Result<HttpOptions> {
        let headers = match &self.headers_file {
            None => Headers::default(),
            Some(path) => {
                let shown = || format!("headers file {}", path.display());
                Headers::parse(&std::fs::read_to_string(path).with_context(shown)?).with_context(shown)?
            }
        };
        let proxies = [("http", &self.http_proxy), ("https", &self.https_proxy)];
        Ok(HttpOptions {
            authorization: None,
            headers,
            proxies: proxies.into_iter().filter_map(|(scheme, url)| Some((scheme.into(), url.clone()?))).collect(),
            no_proxy: self.no_proxy.clone(),
            tls: Tls {
                insecure: self.insecure,
                authorities: self.cafile.clone(),
                client_certificate: self.certfile.clone().zip(self.keyfile.clone()),
                ..Tls::default()
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        servers: ServerArguments,
    }

    fn servers(arguments: &str) -> ServerArguments {
        Line::parse_from(["x"].into_iter().chain(arguments.split_whitespace())).servers
    }

    #[test]
    fn the_defaults_are_those_of_steps() {
        assert_eq!(servers("").retries(), Retries::default());
        assert_eq!(servers("").http().unwrap().tls, Tls::default());
    }

    #[test]
    fn every_argument_arrives() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "X-Auth-Token: s3cret\n").unwrap();
        let servers = servers(&format!(
            "--retries 2 --retry-interval 3 --timeout 4 --max-duration 5 --cafile ca --certfile c --keyfile k --insecure \
             --http-proxy p:1 --https-proxy p:2 --no-proxy a,b --headers-file {}",
            file.path().display()
        ));
        let seconds = Duration::from_secs;
        let retries = Retries { count: 2, interval: seconds(3), timeout: seconds(4), max_duration: Some(seconds(5)) };
        assert_eq!(servers.retries(), retries);
        let http = servers.http().unwrap();
        assert_eq!(http.proxies, [("http".into(), "p:1".into()), ("https".into(), "p:2".into())]);
        assert_eq!(http.no_proxy.as_deref(), Some("a,b"));
        assert_eq!(http.headers, Headers::parse("X-Auth-Token: s3cret").unwrap());
        let tls = Tls {
            insecure: true,
            authorities: Some("ca".into()),
            client_certificate: Some(("c".into(), "k".into())),
            ..Tls::default()
        };
        assert_eq!(http.tls, tls);
    }

    #[test]
    fn a_line_that_is_no_header_is_named_and_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let error = servers(&format!("--headers-file {}", file.path().display())).http().unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("line 1") && !text.contains("s3cret"), "{text}");
    }
}
