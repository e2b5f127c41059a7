//! Why there is no usable answer, and whether another try may bring one. URLs stand here without secrets.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::StatusCode;

use super::challenge::LoginError;
use super::tls::TlsError;

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// What should be asked for is no HTTP URL.
    #[error("{0:?} is not an HTTP URL")]
    NotHttp(String),
    /// The options about TLS cannot be used.
    #[error("TLS")]
    Tls(#[from] TlsError),
    /// The proxy for a scheme is none.
    #[error("{0} proxy: not an http or https URL")]
    Proxy(String),
    /// No client can be made with these options.
    #[error("HTTP client")]
    Client(#[source] reqwest::Error),
    /// A connection could not be made, or broke.
    #[error("URL: {url}; Error")]
    Exchange {
        /// What was asked.
        url: String,
        /// The cause, with its causes.
        #[source]
        source: reqwest::Error,
    },
    /// The body ended before it was complete.
    #[error("URL: {url}; Error: the body ended early")]
    EndedEarly {
        /// What was asked.
        url: String,
    },
    /// Nothing came for too long.
    #[error("URL: {url}; Error: nothing came for {} s", limit.as_secs())]
    Silent {
        /// What was asked.
        url: String,
        /// How long it may be silent.
        limit: Duration,
    },
    /// An exchange took longer than it may.
    #[error("URL: {url}; Error: not complete after {} s", limit.as_secs())]
    TooSlow {
        /// What was asked.
        url: String,
        /// How long it may take.
        limit: Duration,
    },
    /// Another status than one that is good for something.
    #[error("Received status code {status} from {url}, expected 200")]
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The body is longer than it may be.
    #[error("{url} is longer than {limit_bytes} bytes")]
    TooLong {
        /// What was asked.
        url: String,
        /// How long it may be.
        limit_bytes: usize,
    },
    /// The body is in a coding that we do not know.
    #[error("{url} comes with Content-Encoding {coding}, which cannot be decoded")]
    Coded {
        /// What was asked.
        url: String,
        /// The name of the coding.
        coding: String,
    },
    /// The body is not in the coding that the server says it is in.
    #[error("{url} comes with Content-Encoding {coding}, but its content does not decode")]
    Undecodable {
        /// What was asked.
        url: String,
        /// The name of the coding.
        coding: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A redirect leads to what is no HTTP URL, or too many lead on.
    #[error("{url} redirects to {target}, which is not followed: {reason}")]
    Redirect {
        /// What was asked.
        url: String,
        /// Where the redirect leads.
        target: String,
        /// Why that is not followed.
        reason: &'static str,
    },
    /// A range of bytes was asked for, and the answer is of another one.
    #[error("{url} answers a request for a range of bytes with another one")]
    Range {
        /// What was asked.
        url: String,
    },
    /// The server does not let us in.
    #[error("{url} is not for us")]
    Login {
        /// What was asked.
        url: String,
        /// The cause.
        #[source]
        source: LoginError,
    },
    /// It was stopped on request.
    #[error("{0}: stopped on request")]
    Cancelled(String),
}

impl HttpError {
    /// Whether the same request may have another outcome in a while.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Exchange { source, .. } => !source.is_builder() && !is_lasting(source),
            Self::Silent { .. } | Self::TooSlow { .. } | Self::EndedEarly { .. } => true,
            Self::Status { status, .. } => is_passing_status(*status),
            _ => false,
        }
    }

    /// When the server wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The status, when there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// In a few words, for somebody who is watching: `connection refused`.
    pub fn brief(&self) -> String {
        match self {
            // Of connecting.
            Self::Exchange { source, .. } if source.is_timeout() => "no answer in time".to_string(),
            Self::Silent { .. } => "no answer in time".to_string(),
            Self::Exchange { source, .. } => innermost(source).to_ascii_lowercase(),
            Self::TooSlow { .. } => "too slow".to_string(),
            Self::EndedEarly { .. } => "the body ended early".to_string(),
            Self::Range { .. } => "answered with another range".to_string(),
            Self::Status { status, .. } => {
                match StatusCode::from_u16(*status).ok().and_then(|s| s.canonical_reason()) {
                    Some(reason) => format!("{status} {reason}"),
                    None => format!("status {status}"),
                }
            }
            other => other.to_string(),
        }
    }
}

/// A server that is busy, restarting or tired; 501 and 505 say that it never will.
pub(crate) fn is_passing_status(status: u16) -> bool {
    match StatusCode::from_u16(status) {
        Ok(StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED) => false,
        Ok(StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS) => true,
        Ok(status) => status.is_server_error(),
        Err(_) => false,
    }
}

/// A certificate that is not believed, or a version that is not spoken, is so the next time, too.
fn is_lasting(error: &reqwest::Error) -> bool {
    use rustls::Error as Tls;
    causes(error).any(|cause| {
        matches!(
            tls_error(cause),
            Some(
                Tls::InvalidCertificate(_) | Tls::PeerIncompatible(_) | Tls::NoCertificatesPresented | Tls::General(_)
            )
        )
    })
}

/// What TLS says, which the errors of input and output are wrapped around, perhaps several times.
fn tls_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    cause.downcast_ref().or_else(|| tls_error(cause.downcast_ref::<io::Error>()?.get_ref()?))
}

/// The last of the causes: what the operating system or TLS says.
fn innermost(error: &reqwest::Error) -> String {
    let last = causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    // "Connection refused (os error 111)".
    last.split(" (os error").next().unwrap_or_default().to_string()
}

fn causes<'a>(error: &'a dyn Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_servers_pass_and_refusals_last() {
        for (status, passing) in [
            (408, true),
            (425, true),
            (429, true),
            (500, true),
            (502, true),
            (503, true),
            (504, true),
            (507, true),
            (501, false),
            (505, false),
            (400, false),
            (401, false),
            (403, false),
            (404, false),
            (410, false),
            (416, false),
            (204, false),
            (302, false),
        ] {
            let error = HttpError::Status { url: "http://host/x".into(), status, retry_after: None };
            assert_eq!(error.is_passing(), passing, "{status}");
        }
        let busy = HttpError::Status { url: "http://host/x".into(), status: 503, retry_after: None };
        assert_eq!(busy.brief(), "503 Service Unavailable");
    }
}
