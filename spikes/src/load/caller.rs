//! One party's connection to the hub, and what became of a call.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use reqwest::{Method, RequestBuilder, StatusCode, header::RETRY_AFTER};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::world::Hub;

/// An agent waits so long for an answer.
const WHOLE: Duration = Duration::from_secs(60);

/// How the hub is reached, and recognised.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) agents: SocketAddr,
    people: SocketAddr,
    authority: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

/// A certificate with its key.
pub(super) struct Identity {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Zeroizing<Vec<u8>>,
}

/// What became of a call.
#[derive(Debug)]
pub(super) enum Answer {
    Done(Vec<u8>),
    /// The hub asks to come again after this time.
    Later(Duration),
    /// It refuses, in these words.
    Refused(String),
    /// There was no answer.
    None(String),
}

impl Door {
    pub(super) fn of(hub: &Hub) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(hub.authority()).context("the hub's authority")?)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Self { agents: hub.agents(), people: hub.people(), authority: Arc::new(roots), provider })
    }

    pub(super) fn client(&self, from: Option<IpAddr>, identity: Option<&Identity>) -> Result<reqwest::Client> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&self.authority));
        let config = match identity {
            Some(Identity { certificate, key }) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
                builder.with_client_auth_cert(vec![CertificateDer::from(certificate.clone())], key)?
            }
            None => builder.with_no_client_auth(),
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .https_only(true)
            .no_proxy()
            .local_address(from)
            .timeout(WHOLE);
        Ok(client.build()?)
    }

    pub(super) fn of_agents(&self, path: &str) -> String {
        format!("https://{}{path}", self.agents)
    }

    pub(super) fn of_people(&self, path: &str) -> String {
        format!("https://{}{path}", self.people)
    }
}

/// Makes the call.
pub(super) async fn call(request: RequestBuilder) -> Answer {
    let reply = match request.send().await {
        Ok(reply) => reply,
        Err(error) => return Answer::None(said(&error)),
    };
    let (status, after) = (reply.status(), reply.headers().get(RETRY_AFTER).cloned());
    let body = match reply.bytes().await {
        Ok(body) => body.to_vec(),
        Err(error) => return Answer::None(said(&error)),
    };
    let after = after.and_then(|after| after.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    match after {
        _ if status.is_success() => Answer::Done(body),
        Some(after) if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status) => {
            Answer::Later(after)
        }
        _ => Answer::Refused(format!("{status}: {}", String::from_utf8_lossy(&body))),
    }
}

/// The same where nothing but an answer will do.
pub(super) async fn ask<T: DeserializeOwned>(request: RequestBuilder) -> Result<T> {
    match call(request).await {
        Answer::Done(body) => serde_json::from_slice(&body).context("an answer of another form"),
        other => anyhow::bail!("the hub does not do it: {other:?}"),
    }
}

pub(super) fn post(client: &reqwest::Client, url: &str, body: &impl Serialize) -> RequestBuilder {
    client.request(Method::POST, url).json(body)
}

/// An error with its causes, without the address.
fn said(error: &reqwest::Error) -> String {
    let mut cause = std::error::Error::source(error);
    let mut last = if error.is_timeout() { "no answer in time".to_owned() } else { "no answer".to_owned() };
    while let Some(error) = cause {
        last = error.to_string();
        cause = error.source();
    }
    last
}
