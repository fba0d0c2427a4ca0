//! S46: the list of operator keys changes by what holders of recovery keys sign, and by nothing else.

use tenwords_escrow::{
    order::{Offered, OrderRefusal, check},
    pins::{PinsRefusal, Replayed, Taken, replay},
    root::Operators,
    signed::SignatureRefusal,
};
use tenwords_protocol::{
    bytes::Base64,
    hash::Sha256,
    operators::{OperatorList, Pins, PinsError, PinsStatement},
    v1::V1,
};

use crate::{
    orders::{Security, World},
    support::number,
};

const NAMESPACE: &str = "tenwords-pins-v1";
const ORDER: &[u8] = include_bytes!("../../../protocol/tests/golden/order-restore-guest.txt");

/// Anna, Ben and who holds the recovery keys, in the lists of four generations.
struct Company {
    world: &'static World,
    lists: Vec<OperatorList>,
}

/// Generation 1 has anna (ed25519), who is fired in 2; 3 has other recovery keys; 4 gives one of the roles back.
fn company() -> Option<Company> {
    let world = World::get()?;
    let lists = [
        &[("operational", "ed25519"), ("operational", "p256"), ("recovery", "recovery")][..],
        &[("operational", "p256"), ("recovery", "recovery")],
        &[("operational", "p256"), ("recovery", "second")],
        &[("operational,recovery", "second")],
    ];
    Some(Company { world, lists: lists.map(|entries| world.list(entries)).to_vec() })
}

impl Company {
    fn root(&self) -> Operators {
        Operators { generation: number(1), signers: self.lists[0].clone() }
    }

    /// The statement that makes this generation of the list before it.
    fn statement(&self, generation: usize) -> PinsStatement {
        PinsStatement {
            v: V1,
            generation: number(u64::try_from(generation).unwrap()),
            replaces: self.lists[generation - 2].hash(),
            signers: self.lists[generation - 1].clone(),
            made_at: "2026-05-09T12:00:00Z".parse().unwrap(),
        }
    }

    fn signed(&self, key: &str, statement: &PinsStatement) -> Pins {
        let text = statement.to_text().unwrap();
        let signature = self.world.sign(key, NAMESPACE, &text);
        Pins { v: V1, statement: Base64(text), signature }
    }

    /// The good ones, of generations 2 to 4.
    fn chain(&self) -> Vec<Pins> {
        let keys = [(2, "recovery"), (3, "recovery"), (4, "second")];
        keys.map(|(generation, key)| self.signed(key, &self.statement(generation))).to_vec()
    }

    /// Why this one is refused, alone, on the root's list.
    fn refusal(&self, pins: &Pins) -> PinsRefusal {
        let mut replayed = replay(&self.root(), [pins]);
        assert_eq!((replayed.operators.generation, replayed.taken.len()), (number(1), 0));
        assert_eq!(replayed.for_orders(), Some(&self.lists[0]));
        let (_, refusal) = replayed.refused.pop().unwrap();
        assert!(replayed.refused.is_empty());
        assert!(!refusal.next_step().is_empty());
        refusal
    }

    /// Whether a key's order counts by these lists.
    fn orders(&self, replayed: &Replayed, key: &str) -> Result<(), OrderRefusal> {
        let armour = self.world.sign(key, "tenwords-order-v1", ORDER);
        let now = "2026-03-03T12:00:03Z".parse().unwrap();
        let list = replayed.for_orders().unwrap();
        check(&Offered::Armour(armour), [ORDER], list, now).map(drop)
    }
}

#[test]
fn s46_a_fired_operators_key_is_dead_after_one_statement() {
    let Some(company) = company() else { return };
    let before = replay(&company.root(), []);
    assert_eq!(company.orders(&before, "ed25519"), Ok(()));
    let after = replay(&company.root(), [&company.chain()[0]]);
    let why = company.orders(&after, "ed25519");
    assert!(matches!(why, Err(OrderRefusal::Signature(SignatureRefusal::NotPinned { .. }))), "{why:?}");
    assert_eq!(company.orders(&after, "p256"), Ok(()));
    let taken = Taken {
        generation: number(2),
        code: company.lists[1].code(),
        signer: company.world.fingerprint("recovery"),
        made_at: "2026-05-09T12:00:00Z".parse().unwrap(),
        pins: company.chain().remove(0),
    };
    assert_eq!(after.taken, [taken]);
    assert!(after.refused.is_empty() && after.split.is_none());
}

/// A box that was off gets them all at once, in whatever order and however often.
#[test]
fn s46_a_chain_is_taken_in_any_order() {
    let Some(company) = company() else { return };
    let chain = company.chain();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for twice in 0..3 {
            let handed = order.iter().chain([&twice]).map(|index| &chain[*index]);
            let replayed = replay(&company.root(), handed);
            assert_eq!(replayed.operators, Operators { generation: number(4), signers: company.lists[3].clone() });
            assert_eq!(replayed.taken.iter().map(|taken| taken.generation.get()).collect::<Vec<_>>(), [2, 3, 4]);
            assert!(replayed.refused.is_empty(), "{:?}", replayed.refused);
        }
    }
    // A root that was made meanwhile starts where it is: what came before is no news.
    let later = Operators { generation: number(3), signers: company.lists[2].clone() };
    let replayed = replay(&later, &chain);
    assert_eq!((replayed.operators.generation, replayed.taken.len(), replayed.refused.len()), (number(4), 1, 0));
}

#[test]
fn s46_one_that_is_missing_ends_the_chain() {
    let Some(company) = company() else { return };
    let chain = company.chain();
    let replayed = replay(&company.root(), [&chain[2], &chain[0]]);
    assert_eq!(replayed.operators.generation, number(2));
    assert_eq!(replayed.refused, [(Some(number(4)), PinsRefusal::Gap { missing: number(3) })]);
}

#[test]
fn s46_an_old_statement_brings_nobody_back() {
    let Some(company) = company() else { return };
    let chain = company.chain();
    let now = Operators { generation: number(2), signers: company.lists[1].clone() };
    // Generation 1 again, under the next number: its hash is not that of the list that it would replace.
    let back = PinsStatement { signers: company.lists[0].clone(), ..company.statement(2) };
    for old in [&chain[0], &company.signed("recovery", &PinsStatement { generation: number(1), ..back.clone() })] {
        let replayed = replay(&now, [old]);
        assert_eq!((&replayed.operators, replayed.refused.len(), replayed.split), (&now, 0, None));
    }
    let back = PinsStatement { generation: number(3), ..back };
    let replayed = replay(&now, [&company.signed("recovery", &back)]);
    assert_eq!(replayed.refused, [(Some(number(3)), PinsRefusal::Replaces)]);
    assert_eq!(replayed.operators, now);
}

#[test]
fn s46_only_a_recovery_key_of_the_list_that_is_replaced_changes_it() {
    let Some(company) = company() else { return };
    let (world, statement) = (company.world, company.statement(2));
    for key in ["ed25519", "p256"] {
        let why = company.refusal(&company.signed(key, &statement));
        assert_eq!(why, PinsRefusal::Role { signer: world.fingerprint(key) });
    }
    // A key that the statement itself would pin.
    let own = PinsStatement { signers: company.lists[2].clone(), ..statement };
    let why = company.refusal(&company.signed("second", &own));
    let not_pinned = |key| PinsRefusal::Signature(SignatureRefusal::NotPinned { signer: world.fingerprint(key) });
    assert_eq!(why, not_pinned("second"));
    // One that was a recovery key until the list before.
    let mut chain = company.chain();
    chain[2] = company.signed("recovery", &company.statement(4));
    let replayed = replay(&company.root(), &chain);
    assert_eq!(replayed.operators.generation, number(3));
    assert_eq!(replayed.refused, [(Some(number(4)), not_pinned("recovery"))]);
}

#[test]
fn s46_a_statement_replaces_one_list_alone() {
    let Some(company) = company() else { return };
    let statement = PinsStatement { replaces: company.lists[2].hash(), ..company.statement(2) };
    assert_eq!(company.refusal(&company.signed("recovery", &statement)), PinsRefusal::Replaces);
    let statement = PinsStatement { replaces: Sha256::of(b""), ..company.statement(2) };
    assert_eq!(company.refusal(&company.signed("recovery", &statement)), PinsRefusal::Replaces);
}

#[test]
fn s46_two_lists_of_one_generation_let_nothing_destructive_happen() {
    let Some(company) = company() else { return };
    let mut handed = company.chain();
    let other = PinsStatement { signers: company.lists[3].clone(), ..company.statement(3) };
    handed.push(company.signed("recovery", &other));
    for _ in 0..handed.len() {
        handed.rotate_left(1);
        let replayed = replay(&company.root(), &handed);
        assert_eq!((replayed.split, replayed.for_orders()), (Some(number(3)), None));
        assert_eq!(replayed.operators, Operators { generation: number(2), signers: company.lists[1].clone() });
        assert_eq!(replayed.refused, [(Some(number(4)), PinsRefusal::Split { split: number(3) })]);
    }
    // What is no good statement splits nothing, and is not kept in the place of the good one.
    *handed.iter_mut().find(|pins| pins.statement.0 == other.to_text().unwrap()).unwrap() =
        company.signed("p256", &other);
    for _ in 0..handed.len() {
        handed.rotate_left(1);
        let replayed = replay(&company.root(), &handed);
        assert_eq!((replayed.split, replayed.operators.generation), (None, number(4)));
        let kept: Vec<Pins> = replayed.taken.into_iter().map(|taken| taken.pins).collect();
        assert_eq!(kept, company.chain());
    }
}

/// Written twice, by a tool that was started again: it is one list, and whatever replaces it names one hash.
#[test]
fn the_same_list_at_another_time_is_no_split() {
    let Some(company) = company() else { return };
    let later = PinsStatement { made_at: "2026-05-10T12:00:00Z".parse().unwrap(), ..company.statement(2) };
    let mut handed = company.chain();
    handed.insert(0, company.signed("recovery", &later));
    let replayed = replay(&company.root(), &handed);
    assert_eq!((replayed.split, replayed.operators.generation), (None, number(4)));
    assert_eq!(replayed.taken[0].made_at, company.statement(2).made_at);
}

#[test]
fn s46_a_damaged_statement_or_signature_is_refused() {
    let Some(company) = company() else { return };
    let good = &company.chain()[0];
    for at in 0..good.statement.0.len() {
        let mut pins = good.clone();
        pins.statement.0[at] ^= 1 << (at % 7);
        let replayed = replay(&company.root(), [&pins]);
        assert_eq!((replayed.taken.len(), replayed.operators.generation), (0, number(1)), "byte {at}");
    }
    for at in (0..good.signature.len()).step_by(3) {
        let mut signature = good.signature.clone().into_bytes();
        signature[at] ^= 1;
        let pins = Pins { signature: String::from_utf8(signature).unwrap(), ..good.clone() };
        assert!(matches!(company.refusal(&pins), PinsRefusal::Signature(_)), "byte {at}");
    }
    let text = String::from_utf8(good.statement.0.clone()).unwrap();
    for (other, spelling) in [
        (text.replace(":2,", ": 2,"), true),
        (text.trim_end().to_owned(), true),
        (text.replace(":2,", ":2,\"generation\":2,"), false),
        (text.replace(":2,", ":2,\"also\":1,"), false),
        (String::new(), false),
    ] {
        let signature = company.world.sign("recovery", NAMESPACE, other.as_bytes());
        let why = company.refusal(&Pins { v: V1, statement: Base64(other.clone().into_bytes()), signature });
        let PinsRefusal::Text(why) = why else { panic!("{other}: {why:?}") };
        assert_eq!(matches!(why, PinsError::Spelling), spelling, "{other}: {why}");
    }
}

#[test]
fn s46_a_statements_signature_is_judged_as_strictly_as_an_orders() {
    let Some(company) = company() else { return };
    let (world, text) = (company.world, company.statement(2).to_text().unwrap());
    let refusal = |signature: String| {
        let why = company.refusal(&Pins { v: V1, statement: Base64(text.clone()), signature });
        let PinsRefusal::Signature(why) = why else { panic!("{why:?}") };
        why
    };
    let why = refusal(world.sign("recovery", "tenwords-order-v1", &text));
    assert_eq!(why, SignatureRefusal::Namespace { expected: NAMESPACE, found: "tenwords-order-v1".to_owned() });
    let arguments = ["-Y", "sign", "-O", "hashalg=sha256", "-f", "recovery", "-n", NAMESPACE];
    assert_eq!(refusal(world.run(&arguments, &text)), SignatureRefusal::Hash);
    assert!(matches!(refusal(world.sign("recovery", NAMESPACE, b"other")), SignatureRefusal::Text { .. }));
    assert_eq!(refusal(String::new()), SignatureRefusal::Armour);

    let key = Security::of(world, 0);
    let line = format!("recovery {}", key.public());
    let root = Operators { generation: number(1), signers: tenwords_escrow::signers::parse(line.as_bytes()).unwrap() };
    let statement = PinsStatement { replaces: root.signers.hash(), ..company.statement(2) };
    let text = statement.to_text().unwrap();
    for (flags, taken) in [(0, 0), (1, 1)] {
        let signature = key.sign(NAMESPACE, &text, flags);
        let replayed = replay(&root, [&Pins { v: V1, statement: Base64(text.clone()), signature }]);
        assert_eq!(replayed.taken.len(), taken, "{replayed:?}");
    }
}

/// A list without recovery keys is the last; an empty one lets nothing destructive happen for ever.
#[test]
fn a_list_without_a_recovery_key_is_the_last() {
    let Some(company) = company() else { return };
    let nobody = PinsStatement { signers: OperatorList::default(), ..company.statement(2) };
    let next = PinsStatement { replaces: nobody.signers.hash(), ..company.statement(3) };
    let handed = [company.signed("recovery", &nobody), company.signed("recovery", &next)];
    let replayed = replay(&company.root(), &handed);
    assert_eq!((replayed.operators.generation, replayed.taken.len()), (number(2), 1));
    assert_eq!(replayed.for_orders(), Some(&OperatorList::default()));
}

#[test]
fn the_work_is_bounded() {
    let Some(company) = company() else { return };
    let good = company.chain().remove(0);
    let junk = |at: usize| Pins { v: V1, statement: Base64(at.to_string().into_bytes()), signature: String::new() };
    // What cannot be read drowns nothing, however much of it there is.
    let many: Vec<Pins> = (0..5000).map(junk).chain([good.clone()]).collect();
    let replayed = replay(&company.root(), &many);
    assert_eq!((replayed.taken.len(), replayed.refused.len()), (1, 1024));
    // What can be read and comes later is bounded.
    let later = |at: usize| {
        let statement = PinsStatement { generation: number(3 + at as u64), ..company.statement(3) };
        Pins { v: V1, statement: Base64(statement.to_text().unwrap()), signature: String::new() }
    };
    let many: Vec<Pins> = (0..2000).map(later).chain([good]).collect();
    let replayed = replay(&company.root(), &many);
    assert!(replayed.taken.is_empty() && replayed.refused.contains(&(None, PinsRefusal::TooMany)));
    // Again and again the same is one.
    assert_eq!(replay(&company.root(), many[..1].iter().cycle().take(5000)).refused.len(), 1);
}
