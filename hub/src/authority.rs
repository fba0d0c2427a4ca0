//! Two certificate authorities. The server CA signs only hubs, and is what agents pin. The box CA
//! signs only nodes, and is trusted only by the hub.
//!
//! From a request the hub takes the public key and nothing else: names, usages, lifetime and serial
//! number are its own, whatever the request asks for.

use std::{fmt, net::IpAddr, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use tenwords_protocol::{
    hash::Sha256,
    id::{BoxId, NodeId},
    ticket::AuthorityPrefix,
    time::Timestamp,
};
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};
use zeroize::Zeroizing;

use crate::{chance, store::Issued};

/// How long a node's certificate lives.
pub const NODE_LIFETIME: Duration = Duration::from_secs(90 * 86_400);
/// How long a recovery certificate lives.
pub const RECOVERY_LIFETIME: Duration = Duration::from_secs(7 * 86_400);
/// How long the hub's own certificate lives.
pub(crate) const SERVER_LIFETIME: Duration = Duration::from_secs(90 * 86_400);
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(30 * 365 * 86_400);
/// Certificates begin so much earlier, for clocks that are slow.
const EARLIER: i64 = 3600;

/// A certificate authority: its certificate and its key.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A public key that somebody has shown to hold the private half of.
#[derive(Debug)]
pub struct RequestedKey(SubjectPublicKeyInfo);

/// Why an authority could not be made, read or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The certificate was not made for this key.
    #[error("certificate and key do not belong together")]
    Mismatch,
    /// The certificate cannot be read.
    #[error("the certificate cannot be read")]
    Certificate,
    /// The library refused.
    #[error("a certificate could not be made or read")]
    Library(#[from] rcgen::Error),
    /// A time that a certificate cannot carry.
    #[error("a certificate cannot carry this time")]
    Time,
}

/// The request is not one, is not signed by its own key, or its key is of a kind that is not taken.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a certificate request (PKCS #10, DER) with an Ed25519, P-256 or P-384 key was expected")]
pub struct RequestError;

// === impl Authority ===

impl Authority {
    /// A new one, and its key in PEM.
    ///
    /// # Errors
    /// [`AuthorityError`] from the library.
    pub(crate) fn generate(name: &str, now: Timestamp) -> Result<(Self, Zeroizing<String>), AuthorityError> {
        let key = KeyPair::generate()?;
        let pem = Zeroizing::new(key.serialize_pem());
        let mut params = params(name, now, AUTHORITY_LIFETIME)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.der().clone();
        Ok((Self { issuer: Issuer::new(params, key), certificate }, pem))
    }

    /// One that was stored.
    ///
    /// # Errors
    /// [`AuthorityError`] if it cannot be read, or if key and certificate do not belong together.
    pub(crate) fn load(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let certificate =
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| AuthorityError::Certificate)?;
        let key = KeyPair::from_pem(key)?;
        if spki(&certificate)? != key.subject_public_key_info() {
            return Err(AuthorityError::Mismatch);
        }
        Ok(Self { issuer: Issuer::from_ca_cert_der(&certificate, key)?, certificate })
    }

    /// Its certificate (DER).
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let text = STANDARD.encode(&self.certificate);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }

    /// Over its public key's SPKI (DER).
    #[must_use]
    pub fn spki_sha256(&self) -> Sha256 {
        Sha256::of(&self.issuer.key().subject_public_key_info())
    }

    /// What tickets carry of it.
    #[must_use]
    pub fn prefix(&self) -> AuthorityPrefix {
        AuthorityPrefix::of_spki(&self.issuer.key().subject_public_key_info())
    }

    /// A node's certificate. Everything but the public key is ours.
    pub(crate) fn issue_node(
        &self,
        key: &RequestedKey,
        box_id: BoxId,
        node_id: NodeId,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        let serial = serial();
        let mut params = params(&node_id.to_string(), now, lifetime)?;
        params.distinguished_name.push(DnType::OrganizationName, box_id.to_string());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let certificate = params.signed_by(&key.0, &self.issuer)?;
        Ok(Issued {
            serial: hex::encode(serial),
            node_id,
            spki_sha256: key.spki_sha256(),
            der: certificate.der().to_vec(),
            expires_at: now.plus(lifetime),
        })
    }

    /// A hub's certificate for these names, and its key. The chain carries this authority too, so
    /// that an agent can compare it with its ticket.
    pub(crate) fn issue_server(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = params("tenwords hub", now, SERVER_LIFETIME)?;
        params.subject_alt_names = names.iter().map(|name| alternative(name)).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(&serial()));
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        Ok((chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.spki_sha256())
    }
}

fn params(name: &str, now: Timestamp, lifetime: Duration) -> Result<CertificateParams, AuthorityError> {
    let moment = |seconds| OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| AuthorityError::Time);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = moment(now.unix() - EARLIER)?;
    params.not_after = moment(now.plus(lifetime).unix())?;
    Ok(params)
}

fn alternative(name: &str) -> Result<SanType, AuthorityError> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(name.try_into()?)),
    }
}

/// Sixteen bytes, the first between 0x40 and 0x7f, so that DER writes them as they are.
fn serial() -> [u8; 16] {
    let mut serial: [u8; 16] = chance::bytes();
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

/// A certificate's SPKI (DER).
pub(crate) fn spki(certificate: &[u8]) -> Result<Vec<u8>, AuthorityError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| AuthorityError::Certificate)?;
    Ok(parsed.public_key().raw.to_vec())
}

/// A certificate's serial number in hex, as [`Issued`] records it.
pub(crate) fn serial_of(certificate: &[u8]) -> Result<String, AuthorityError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| AuthorityError::Certificate)?;
    Ok(hex::encode(parsed.raw_serial()))
}

// === impl RequestedKey ===

impl RequestedKey {
    /// The public key of a request (PKCS #10, DER) that its private half has signed. Whatever else
    /// the request asks for is not read.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn from_request(der: &[u8]) -> Result<Self, RequestError> {
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| RequestError)?;
        if !rest.is_empty() {
            return Err(RequestError);
        }
        request.verify_signature().map_err(|_| RequestError)?;
        let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
            .map_err(|_| RequestError)?;
        let taken = [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384];
        if taken.iter().any(|algorithm| *key.algorithm() == **algorithm) { Ok(Self(key)) } else { Err(RequestError) }
    }

    /// The public key of a certificate (DER) of ours, whose holder's request was checked when it was
    /// given.
    pub(crate) fn of_certificate(der: &[u8]) -> Result<Self, AuthorityError> {
        Ok(Self(SubjectPublicKeyInfo::from_der(&spki(der)?)?))
    }

    /// Over its SPKI (DER).
    #[must_use]
    pub fn spki_sha256(&self) -> Sha256 {
        Sha256::of(&self.0.subject_public_key_info())
    }
}
