//! Small documents: checksum files, config drives, files to inject, manifests.

use tokio_util::sync::CancellationToken;

use super::address;
use super::client::Client;
use super::error::HttpError;
use super::exchange::{Limit, Request};
use super::options::HttpOptions;
use super::retry::Tries;
use crate::options::Retries;
use crate::progress::Progress;

/// How a document is waited for.
#[derive(Debug, Clone)]
pub struct RetryContext<'a> {
    /// When to try again, and when to give up.
    pub retries: &'a Retries,
    /// Where trouble is shown.
    pub progress: &'a Progress,
    /// Stops it.
    pub cancel: &'a CancellationToken,
}

/// The content behind `url`. Broken connections and busy servers are tried again.
///
/// # Errors
/// The error of the last try.
pub async fn document(
    url: &str,
    options: &HttpOptions,
    limit: Limit,
    context: RetryContext<'_>,
) -> Result<Vec<u8>, HttpError> {
    let client = Client::new(options, context.retries.timeout)?;
    collect(&client, &Request::get(&address::url(url)?), limit, context).await
}

/// As [`document`], by a client and a request of its own.
///
/// # Errors
/// As [`document`].
pub async fn collect(
    client: &Client,
    request: &Request,
    limit: Limit,
    context: RetryContext<'_>,
) -> Result<Vec<u8>, HttpError> {
    let mut tries = Tries::new(context.retries).shown(context.progress);
    let whole = async {
        loop {
            let once = async { client.send(request).await?.collect(limit).await };
            match once.await {
                Ok(body) => break Ok(body),
                Err(error) => tries.again(error).await?,
            }
        }
    };
    let cancelled = || HttpError::Cancelled(address::shown(&request.url));
    let outcome = tokio::select! {
        outcome = whole => outcome,
        () = context.cancel.cancelled() => Err(cancelled()),
    };
    context.progress.trouble(None);
    outcome
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::Authorization;
    use crate::testing::server::{Server, answer};

    async fn fetch(url: &str, limit_bytes: usize) -> Result<Vec<u8>, HttpError> {
        fetch_with(url, HttpOptions::default(), limit_bytes).await
    }

    async fn fetch_with(url: &str, options: HttpOptions, limit_bytes: usize) -> Result<Vec<u8>, HttpError> {
        let retries =
            Retries { count: 1, interval: Duration::ZERO, timeout: Duration::from_secs(10), ..Retries::default() };
        let (progress, cancel) = Default::default();
        let context = RetryContext { retries: &retries, progress: &progress, cancel: &cancel };
        document(url, &options, Limit::bytes(limit_bytes), context).await
    }

    fn text(status: &str, body: &str) -> String {
        answer(status, "", body)
    }

    #[tokio::test]
    async fn a_busy_server_is_asked_again() {
        for status in ["503 Service Unavailable", "429 Too Many Requests", "425 Too Early", "408 Request Timeout"] {
            let server = Server::start(vec![text(status, ""), text("200 OK", "text")]);
            assert_eq!(fetch(server.url("/x").as_str(), 10).await.unwrap(), b"text", "{status}");
        }
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut".to_string();
        let server = Server::start(vec![cut, String::new(), text("200 OK", "text")]);
        assert!(fetch(server.url("/x").as_str(), 10).await.is_err(), "twice is once too often");
        assert_eq!(server.requests().len(), 2);
    }

    #[tokio::test]
    async fn what_is_not_there_is_asked_for_once_and_named_without_password() {
        let server = Server::start(vec![text("404 Not Found", ""), text("200 OK", "text")]);
        let url = server.url("/document?token=secret").to_string().replace("://", "://me:secret@");
        let reason = crate::error::chain(&fetch(&url, 10).await.unwrap_err());
        assert!(reason.contains("404") && reason.contains("/document") && !reason.contains("secret"), "{reason}");
        assert_eq!(server.requests().len(), 1);
    }

    #[tokio::test]
    async fn a_document_that_is_too_long_is_refused() {
        let endless =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_string() + &"5\r\n01234\r\n".repeat(99);
        for answer in [text("200 OK", "12345678901"), endless] {
            let server = Server::start(vec![answer]);
            let error = fetch(server.url("/x").as_str(), 10).await.unwrap_err();
            assert!(error.to_string().contains("longer than 10 bytes"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_coded_document_is_decoded_and_words_that_are_no_coding_are_passed_over() {
        let hello = "\u{1f}\u{8b}";
        for (coding, body) in [("aws-chunked", "text"), ("none", "text"), ("utf-8", "text"), ("gzip", "text")] {
            let server = Server::start(vec![answer("200 OK", &format!("Content-Encoding: {coding}\r\n"), body)]);
            assert_eq!(fetch(server.url("/x").as_str(), 10).await.unwrap(), b"text", "{coding}");
        }
        let server = Server::start(vec![answer("200 OK", "Content-Encoding: br\r\n", hello)]);
        assert!(matches!(fetch(server.url("/x").as_str(), 10).await, Err(HttpError::Coded { .. })));
    }

    #[tokio::test]
    async fn a_redirect_to_another_origin_takes_nothing_along() {
        // The same host by another port, and another host that leads back: both are other origins, for good.
        let origin_again = Server::start(vec![text("200 OK", "text")]);
        let other = Server::on(
            "127.0.0.2",
            vec![answer("302 Found", &format!("Location: {}\r\n", origin_again.url("/c")), "")],
        );
        let cookie = "Set-Cookie: a=1; Path=/\r\n";
        let origin = Server::start(vec![
            answer("302 Found", &format!("Location: /b\r\n{cookie}"), ""),
            answer("302 Found", &format!("Location: {}\r\n", other.url("/there")), ""),
        ]);
        let options = HttpOptions {
            authorization: Some(Authorization::Basic("me".into(), "secret".into())),
            headers: crate::http::Headers::parse("X-Auth-Token: s3cret").unwrap(),
            ..HttpOptions::default()
        };
        let url = origin.url("/a");
        assert_eq!(fetch_with(url.as_str(), options, 10).await.unwrap(), b"text");
        let lower = |server: &Server| server.requests().iter().map(|r| r.to_ascii_lowercase()).collect::<Vec<_>>();
        for request in lower(&origin) {
            assert!(
                request.contains("authorization: basic bwu6c2vjcmv0") && request.contains("x-auth-token: s3cret"),
                "{request}"
            );
            assert!(!request.contains("referer"), "{request}");
        }
        assert!(!lower(&origin)[0].contains("cookie") && lower(&origin)[1].contains("cookie: a=1"));
        for request in lower(&other).into_iter().chain(lower(&origin_again)) {
            for secret in ["authorization", "s3cret", "referer"] {
                assert!(!request.contains(secret), "{request}");
            }
        }
        assert!(!lower(&other)[0].contains("cookie"), "{:?}", lower(&other));
    }

    #[tokio::test]
    async fn cookies_live_within_one_chain() {
        let cookie = |path: &str| answer("302 Found", &format!("Location: {path}\r\nSet-Cookie: s=1; Path=/\r\n"), "");
        let server = Server::start(vec![cookie("/b"), text("200 OK", "1"), text("200 OK", "2")]);
        let client = Client::new(&HttpOptions::default(), Duration::from_secs(10)).unwrap();
        for path in ["/a", "/c"] {
            client.send(&Request::get(&server.url(path))).await.unwrap().collect(Limit::bytes(10)).await.unwrap();
        }
        let has_cookie: Vec<bool> = server.requests().iter().map(|request| request.contains("s=1")).collect();
        assert_eq!(has_cookie, [false, true, false]);
    }

    #[tokio::test]
    async fn a_body_goes_to_nobody_but_the_origin() {
        let post = |url| Request::new(reqwest::Method::POST, &url).json(&serde_json::json!({"agent_token": "s3cret"}));
        let client = Client::new(&HttpOptions::default(), Duration::from_secs(10)).unwrap();
        let other = Server::start(vec![text("200 OK", "1"), text("200 OK", "2")]);
        let to = |status: &str, target: url::Url| answer(status, &format!("Location: {target}\r\n"), "");
        let server = Server::start(vec![to("307 X", other.url("/x"))]);
        let error = client.ask(&post(server.url("/v1"))).await.unwrap_err();
        assert!(matches!(error, HttpError::Redirect { .. }) && other.requests().is_empty(), "{error}");
        // After 302 a request has no body any more, by old custom.
        let server = Server::start(vec![to("302 X", other.url("/y"))]);
        client.ask(&post(server.url("/v1"))).await.unwrap();
        assert!(other.requests()[0].starts_with("GET /y") && !other.requests()[0].contains("s3cret"));
        // Within the origin it goes along.
        let server = Server::start(vec![answer("308 X", "Location: /v2\r\n", ""), text("202 Accepted", "")]);
        client.ask(&post(server.url("/v1"))).await.unwrap();
        let last = server.requests().pop().unwrap();
        assert!(last.starts_with("POST /v2") && last.contains("s3cret"), "{last}");
    }

    #[tokio::test]
    async fn redirects_end_and_lead_to_http_only() {
        let around = |count| vec![answer("302 Found", "Location: /again\r\n", ""); count];
        let error = fetch(Server::start(around(40)).url("/x").as_str(), 10).await.unwrap_err();
        assert!(error.to_string().contains("too many redirects"), "{error}");
        for target in ["file:///etc/passwd", "ftp://host/x", "gopher:x"] {
            let server = Server::start(vec![answer("302 Found", &format!("Location: {target}\r\n"), "")]);
            let error = fetch(server.url("/x").as_str(), 10).await.unwrap_err();
            assert!(matches!(error, HttpError::Redirect { .. }), "{target}: {error}");
        }
    }

    #[tokio::test]
    async fn a_document_that_drips_is_not_waited_for() {
        let server = Server::start(vec!["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1".to_string()]);
        let client = Client::new(&HttpOptions::default(), Duration::from_millis(300)).unwrap();
        let answer = client.send(&Request::get(&server.url("/x"))).await.unwrap();
        // The connection was closed, or nothing came for too long: an end in any case.
        assert!(answer.collect(Limit { bytes: 10, time: Duration::ZERO }).await.is_err());
    }
}
