//! HTTP as a client: images, small documents, registries and the conductor are all asked from here, by the same rules.
//!
//! - Who we are is said to the origin of a URL only: the first redirect to another one ends that, for the rest of the chain.
//! - Cookies live within one chain of redirects. Nobody is told where we come from (`Referer`).
//! - Every body that is no image has a limit of bytes, and every exchange limits of time.
//! - What passes (a refused connection, 429, 503…) is tried again, by one policy; what would come again is not.
//!
//! In order of what builds on what:
//! - [`options`]: who we are and whom we believe; [`proxy`]: which requests pass a proxy; [`tls`]: certificates
//! - [`error`]: why there is no usable answer, and whether it is worth another try; [`retry`]: when
//! - [`address`]: URLs, and how they are shown; `coding`: bodies that come coded
//! - `exchange`: one request, whatever redirects it meets, and its answer
//! - `challenge`, [`login`]: registries that want a password or a token
//! - [`client`]: what everybody uses; [`mod@document`]: small documents by it

pub mod address;
mod challenge;
pub mod client;
pub(crate) mod coding;
pub mod document;
pub mod error;
pub mod exchange;
pub mod login;
pub mod options;
pub mod proxy;
pub mod retry;
pub mod tls;

pub use address::{shown, url};
pub use challenge::LoginError;
pub use client::Client;
pub use document::document;
pub use error::HttpError;
pub use exchange::{Answer, Limit, Request};
pub use login::Login;
pub use options::{Authorization, Headers, HttpOptions};
pub use retry::{Passing, Tries};
