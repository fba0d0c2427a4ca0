//! How the agent recognises its hub: by the server CA that the ticket or the enrolment named.
//!
//! The system's certificate store has no say. The server CA signs only hubs, so a hub may change
//! its name or address without being taken for a stranger.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    time_provider::{DefaultTimeProvider, TimeProvider},
};
use tenwords_protocol::{hash::Sha256, ticket::AuthorityPrefix};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

/// By what the hub is recognised.
#[derive(Debug, Clone)]
pub(crate) enum Recognise {
    /// The server CA of the enrolment.
    Authority(CertificateDer<'static>),
    /// The first 80 bits of the server CA's key, from a ticket.
    Ticket(AuthorityPrefix),
}

/// A certificate of ours and its key.
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key: Zeroizing<Vec<u8>>,
}

#[derive(Debug)]
struct HubVerifier {
    recognise: Recognise,
    provider: Arc<CryptoProvider>,
}

/// The TLS settings of a connection to the hub.
pub(crate) fn client_config(recognise: Recognise, certificate: Option<Certificate>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(HubVerifier { recognise, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_details(provider, clock())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match certificate {
        Some(Certificate { der, key }) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
            builder.with_client_auth_cert(vec![der], key)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

/// What the hub's certificate is held against: this machine's clock.
fn clock() -> Arc<dyn TimeProvider> {
    #[cfg(test)]
    if let Some(clock) = wall::clock() {
        return clock;
    }
    Arc::new(DefaultTimeProvider)
}

/// Another clock for the connections of this thread, in a test.
#[cfg(test)]
pub(crate) mod wall {
    use std::{cell::RefCell, sync::Arc};

    use rustls::time_provider::TimeProvider;

    thread_local! {
        static CLOCK: RefCell<Option<Arc<dyn TimeProvider>>> = const { RefCell::new(None) };
    }

    pub(crate) fn set(clock: Option<Arc<dyn TimeProvider>>) {
        CLOCK.with_borrow_mut(|here| *here = clock);
    }

    pub(super) fn clock() -> Option<Arc<dyn TimeProvider>> {
        CLOCK.with_borrow(Clone::clone)
    }
}

/// The prefix by which tickets know the CA of this certificate.
pub(crate) fn prefix_of(certificate: &[u8]) -> Option<AuthorityPrefix> {
    let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
    rest.is_empty().then(|| AuthorityPrefix::of_spki(parsed.tbs_certificate.subject_pki.raw))
}

/// SHA-256 over a certificate's public key (SPKI, DER).
pub(crate) fn spki_sha256(certificate: &[u8]) -> Option<Sha256> {
    let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
    rest.is_empty().then(|| Sha256::of(parsed.tbs_certificate.subject_pki.raw))
}

/// From when to when a certificate is good, in seconds since 1970.
pub(crate) fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = &parsed.tbs_certificate.validity;
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

impl HubVerifier {
    fn authority<'a>(&'a self, sent: &'a [CertificateDer<'a>]) -> Option<&'a CertificateDer<'a>> {
        match &self.recognise {
            Recognise::Authority(pinned) => Some(pinned),
            Recognise::Ticket(prefix) => sent.iter().find(|certificate| prefix_of(certificate) == Some(*prefix)),
        }
    }
}

impl ServerCertVerifier for HubVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let stranger = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority = self.authority(intermediates).ok_or_else(stranger)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|_| stranger())?;
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The chain is good; only the name is another one. The server CA signs nothing but hubs.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

    use super::*;

    type Made = Result<(CertificateDer<'static>, CertificateDer<'static>), rcgen::Error>;

    fn hub_with_ca(name: &str) -> Made {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);
        let mut leaf = CertificateParams::new(vec![name.to_owned()])?;
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = leaf.signed_by(&KeyPair::generate()?, &issuer)?;
        Ok((leaf.der().clone(), ca_certificate.der().clone()))
    }

    fn verdict(recognise: Recognise, leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> bool {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let name = ServerName::try_from("hub.example").ok();
        name.is_some_and(|name| {
            HubVerifier { recognise, provider }.verify_server_cert(leaf, chain, &name, &[], UnixTime::now()).is_ok()
        })
    }

    #[test]
    fn the_hub_is_recognised_by_its_ca_alone() -> Result<(), rcgen::Error> {
        let (leaf, ca) = hub_with_ca("other.example")?;
        let (strange_leaf, strange_ca) = hub_with_ca("hub.example")?;
        let prefix = prefix_of(&ca).unwrap_or(AuthorityPrefix::of_spki(b""));
        let chain = [ca.clone()];
        assert!(verdict(Recognise::Ticket(prefix), &leaf, &chain), "s55: another name, the same CA");
        assert!(verdict(Recognise::Authority(ca.clone()), &leaf, &[]));
        assert!(!verdict(Recognise::Ticket(prefix), &leaf, &[]), "a chain without the CA");
        assert!(!verdict(Recognise::Ticket(prefix), &strange_leaf, std::slice::from_ref(&strange_ca)));
        // The stranger shows our CA beside his own leaf.
        assert!(!verdict(Recognise::Ticket(prefix), &strange_leaf, &[strange_ca, ca.clone()]));
        assert!(!verdict(Recognise::Authority(ca), &strange_leaf, &chain));
        Ok(())
    }
}
