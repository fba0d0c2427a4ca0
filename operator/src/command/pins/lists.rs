//! Lists of keys in files, as people have them, and the keys that are taken.

use std::{collections::BTreeSet, num::NonZeroU64, ops::RangeInclusive, path::Path};

use tenwords_protocol::{
    json,
    operators::{OperatorList, OperatorListError, Pins, PinsStatement, Role, Signer},
};

use super::LARGEST_FILE;
use crate::{
    failure::Failure,
    files,
    operators::{Operators, Written},
    sshsig::{field, fingerprint},
};

/// A list, and whether the file it was in is one without a generation.
pub(super) struct Found {
    pub(super) operators: Operators,
    pub(super) is_plain: bool,
}

/// The key types that a box verifies.
const TYPES: [&str; 6] = [
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "ssh-ed25519",
    RSA,
];
const RSA: &str = "ssh-rsa";
/// Bits that an RSA key must have, and those that a box verifies at most.
const RSA_BITS: RangeInclusive<usize> = 2048..=4096;

/// A list as this program or a statement has it, or OpenSSH's `allowed_signers` with roles as
/// principals; that one is counted as the first generation.
pub(super) fn read(path: &Path) -> Result<Found, Failure> {
    let text = files::read(path, LARGEST_FILE)?;
    let statement = match json::from_slice::<Pins>(&text) {
        Ok(pins) => PinsStatement::parse(&pins.statement.0),
        Err(_) => PinsStatement::parse(&text),
    };
    let (generation, list, is_plain) = if let Ok(statement) = statement {
        (statement.generation, statement.signers, false)
    } else if let Ok(written) = json::from_slice::<Written>(&text) {
        (written.generation, written.signers, false)
    } else {
        (NonZeroU64::MIN, list(lines(path, &text)?)?, true)
    };
    check(&list)?;
    Ok(Found { operators: Operators { generation, list }, is_plain })
}

/// What a line or a file of lines adds.
pub(super) fn added(typed: &str) -> Result<Vec<Signer>, Failure> {
    if typed.contains(char::is_whitespace) {
        let line = line(typed).map_err(|why| refused(&format!("--add: {why}")))?;
        return Ok(vec![line]);
    }
    let path = Path::new(typed);
    let signers = lines(path, &files::read(path, LARGEST_FILE)?)?;
    if signers.is_empty() { Err(refused(&format!("there is no key in {}", path.display()))) } else { Ok(signers) }
}

/// The fingerprints that are meant: one that was typed, or those of the keys in a file, with roles or
/// as `ssh-keygen` writes a public key.
pub(super) fn removed(typed: &str) -> Result<Vec<String>, Failure> {
    if typed.starts_with("SHA256:") {
        return Ok(vec![typed.trim_end_matches('=').to_owned()]);
    }
    let path = Path::new(typed);
    let text = files::read(path, LARGEST_FILE)?;
    if let Some(key) = public(&text) {
        return Ok(vec![fingerprint(&key)]);
    }
    Ok(lines(path, &text)?.iter().map(|signer| fingerprint(signer.key())).collect())
}

/// A public key as `ssh-keygen` writes it, `<keytype> <base64> [comment]`.
pub(super) fn public(text: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(text).ok()?;
    let [line] = text.lines().collect::<Vec<_>>()[..] else { return None };
    let [key_type, key, ..] = line.split_ascii_whitespace().collect::<Vec<_>>()[..] else { return None };
    let signer: Signer = format!("{} {key_type} {key}", Role::Recovery).parse().ok()?;
    Some(signer.key().to_vec())
}

/// Sorted, each key once.
pub(super) fn list(signers: Vec<Signer>) -> Result<OperatorList, Failure> {
    OperatorList::new(signers).map_err(|_| refused("one key stands on two lines; write its roles on one, with a comma"))
}

/// That a box could verify each key of it.
pub(super) fn check(list: &OperatorList) -> Result<(), Failure> {
    list.signers()
        .iter()
        .try_for_each(|signer| taken(signer).map_err(|why| refused(&format!("{}: {why}", fingerprint(signer.key())))))
}

fn lines(path: &Path, text: &[u8]) -> Result<Vec<Signer>, Failure> {
    let named = crate::show::clean(&path.to_string_lossy());
    let text = str::from_utf8(text).map_err(|_| refused(&format!("{named} is not a text")))?;
    let mut signers = Vec::new();
    for (index, written) in text.lines().enumerate() {
        let is_empty = written.trim_start().is_empty() || written.trim_start().starts_with('#');
        if !is_empty {
            let signer = line(written).map_err(|why| refused(&format!("{named}, line {}: {why}", index + 1)))?;
            signers.push(signer);
        }
    }
    Ok(signers)
}

/// A line with its roles, without what may stand behind the key.
fn line(text: &str) -> Result<Signer, &'static str> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let [roles, key_type, key, ..] = fields[..] else {
        return Err("it is not `<role>[,<role>] <keytype> <base64>`");
    };
    let roles = roles.split(',').map(str::parse::<Role>).collect::<Result<BTreeSet<Role>, _>>();
    let roles = roles.map_err(|_| "a role is `operational` or `recovery`, or both with a comma")?;
    // What stands in the type's place and is no type is an option, which would be lost here.
    if !["ssh-", "ecdsa-", "sk-"].iter().any(|start| key_type.starts_with(start)) || key_type.contains(['=', '"', ','])
    {
        return Err("it has an option; options of operator keys are not honoured, so they are refused");
    }
    // The strict reader knows one spelling; roles may be typed in any order.
    let spelled = roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let signer: Signer = format!("{spelled} {key_type} {key}").parse().map_err(|error| match error {
        OperatorListError::Role => "a role is `operational` or `recovery`, or both with a comma",
        _ => "the key cannot be read; a plain OpenSSH public key was expected, no certificate",
    })?;
    taken(&signer)?;
    Ok(signer)
}

fn taken(signer: &Signer) -> Result<(), &'static str> {
    if !TYPES.contains(&signer.key_type()) {
        return Err("keys are taken of the types ed25519, ecdsa (nistp256, nistp384), rsa, sk-ed25519 and sk-ecdsa");
    }
    let fields = fields(signer.key()).ok_or("the key is damaged")?;
    if signer.key_type() == RSA {
        let modulus = fields.get(2).map_or(&[][..], |modulus| modulus.strip_prefix(&[0]).unwrap_or(modulus));
        if !RSA_BITS.contains(&(modulus.len() * 8)) {
            return Err("an RSA key must have 2048 to 4096 bits");
        }
    }
    let expected = match signer.key_type() {
        "ssh-ed25519" => 2,
        "sk-ecdsa-sha2-nistp256@openssh.com" => 4,
        _ => 3,
    };
    if fields.len() == expected { Ok(()) } else { Err("the key is damaged") }
}

/// The texts that a key is made of, its type first.
fn fields(key: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut fields, mut rest) = (Vec::new(), key);
    while !rest.is_empty() {
        let (first, more) = field(rest)?;
        fields.push(first);
        rest = more;
    }
    Some(fields)
}

fn refused(why: &str) -> Failure {
    Failure::usage("operator_keys", why, "a line is `<role>[,<role>] <keytype> <base64>`, as in your boxes' own file")
}
