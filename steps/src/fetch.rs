//! Small documents from HTTP servers: checksum files, config drives, files to inject.

use reqwest::Response;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::image::http::{Http, Refusal, chain, uncoded};
use crate::image::{HttpOptions, Location, Retries};
use crate::step::Step;

/// The body behind `url`, at most `limit_bytes` long. Broken connections and busy servers are tried again, as often and
/// as far apart as the options for images say.
///
/// # Errors
/// A sentence with the URL (without passwords) and the reason.
pub async fn document(url: &str, http: &HttpOptions, limit_bytes: usize, step: &Step) -> Result<Vec<u8>, String> {
    body(url, http, limit_bytes, &step.site.options.download.retries, &step.cancel).await
}

/// [`document`] for callers that run no step.
///
/// # Errors
/// As [`document`].
pub async fn body(
    url: &str,
    http: &HttpOptions,
    limit_bytes: usize,
    retries: &Retries,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, String> {
    let Ok(Location::Http(parsed)) = Location::parse(url) else {
        return Err(format!("{url:?} is not an HTTP URL"));
    };
    let shown = Location::Http(parsed.clone()).to_string();
    let client = Http::new(http, retries.timeout).map_err(|error| error.chain())?;
    let mut patience = Patience::new(retries, cancel);
    loop {
        let refusal = match get(&client, &parsed, &shown, limit_bytes).await {
            Ok(body) => return Ok(body),
            Err(refusal) => refusal,
        };
        patience.after(refusal).await.map_err(|refusal| match refusal {
            Refusal::Fatal(reason) | Refusal::Again(reason) => reason,
        })?;
    }
}

/// How often a request is tried again, and how far apart.
pub(crate) struct Patience<'a> {
    retries: &'a Retries,
    cancel: &'a CancellationToken,
    failures: u32,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(retries: &'a Retries, cancel: &'a CancellationToken) -> Self {
        Self { retries, cancel, failures: 0 }
    }

    /// Waits for the next try; the refusal comes back when there is none.
    pub(crate) async fn after(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        let reason = match refusal {
            Refusal::Again(reason) if self.failures < self.retries.count => reason,
            last => return Err(last),
        };
        self.failures += 1;
        tracing::warn!(failures = self.failures, reason, "trying again");
        tokio::select! {
            () = tokio::time::sleep(self.retries.interval) => Ok(()),
            () = self.cancel.cancelled() => Err(Refusal::Fatal(format!("{reason}; then it was cancelled"))),
        }
    }
}

/// One try for the body behind `url`.
pub(crate) async fn get(client: &Http, url: &Url, shown: &str, limit_bytes: usize) -> Result<Vec<u8>, Refusal> {
    collect(client.send(client.get(url), shown).await?, shown, limit_bytes).await
}

/// The body of an answer, at most `limit_bytes` long.
pub(crate) async fn collect(response: Response, shown: &str, limit_bytes: usize) -> Result<Vec<u8>, Refusal> {
    let mut response = uncoded(response, shown)?;
    let mut body = Vec::new();
    let broken = |error| Refusal::Again(format!("URL: {shown}; Error: {}", chain(&error)));
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        body.extend_from_slice(&chunk);
        if body.len() > limit_bytes {
            return Err(Refusal::Fatal(format!("{shown} is longer than {limit_bytes} bytes")));
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::testing::Fake;

    /// Answers one connection after the other with these responses. Returns the URL.
    fn server(responses: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://me:secret@{}/document", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for response in responses {
                let (mut stream, _) = listener.accept().unwrap();
                assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                stream.write_all(response.as_bytes()).unwrap();
            }
        });
        url
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    async fn fetch(url: &str, limit_bytes: usize) -> Result<Vec<u8>, String> {
        let fake = Fake::new();
        let retries = Retries { count: 1, interval: Duration::ZERO, ..Retries::default() };
        let step = fake.step_with(|options| options.download.retries = retries, serde_json::Value::Null);
        document(url, &HttpOptions::default(), limit_bytes, &step).await
    }

    #[tokio::test]
    async fn a_busy_server_is_asked_again() {
        let url = server(vec![answer("503 Service Unavailable", ""), answer("200 OK", "text")]);
        assert_eq!(fetch(&url, 10).await.unwrap(), b"text");
    }

    #[tokio::test]
    async fn what_is_not_there_is_asked_for_once_and_named_without_password() {
        let url = server(vec![answer("404 Not Found", "")]);
        let reason = fetch(&url, 10).await.unwrap_err();
        assert!(reason.contains("404") && reason.contains("/document") && !reason.contains("secret"), "{reason}");
    }

    #[tokio::test]
    async fn a_document_that_is_too_long_is_refused() {
        let url = server(vec![answer("200 OK", "12345678901")]);
        assert!(fetch(&url, 10).await.unwrap_err().contains("longer than 10 bytes"));
    }
}
