//! Damage of every kind: nothing but what was signed is taken.

use rand::Rng as _;
use tenwords_escrow::order::Offered;

use super::*;

/// The armour with one byte changed is never a good one: one signature has one spelling.
#[test]
fn s36_an_armour_damaged_in_any_byte_is_refused() {
    let Some(world) = World::get() else { return };
    let operators = world.operators();
    for key in ["ed25519", "p256"] {
        let armour = world.sign(key, NAMESPACE, GUEST);
        for at in 0..armour.len() {
            for mask in [0x01, 0x04, 0x07, 0x20, 0x80] {
                let mut bytes = armour.clone().into_bytes();
                bytes[at] ^= mask;
                let read = Offered::parse(&bytes).and_then(|offered| judge(&offered, &[GUEST], &operators));
                assert!(read.is_err(), "{key}: byte {at} ^ {mask:#x}");
            }
            let cut = judge(&signed(GUEST, &armour[..at]), &[GUEST], &operators);
            // Without its last line end it is whole.
            assert_eq!(cut.is_ok(), at == armour.len() - 1, "{key}: cut at {at}");
        }
    }
}

#[test]
fn s36_of_ten_thousand_mutations_exactly_the_valid_ones_are_taken() {
    let Some(world) = World::get() else { return };
    let operators = world.operators();
    let keys = ["ed25519", "second", "stranger", "recovery"];
    let texts = [GUEST.to_vec(), REPOINT.to_vec(), drawn("another")];
    let open: Vec<&[u8]> = texts[..2].iter().map(Vec::as_slice).collect();
    let made: Vec<(usize, usize, String)> = (0..keys.len())
        .flat_map(|key| (0..texts.len()).map(move |text| (key, text)))
        .map(|(key, text)| (key, text, world.sign(keys[key], NAMESPACE, &texts[text])))
        .collect();
    let rng = &mut seeded("ten thousand");
    let mut draw = |below: usize| usize::try_from(rng.next_u64() % u64::try_from(below).unwrap()).unwrap();
    let (mut taken, mut expected) = (0, 0);
    for round in 0..10_000 {
        let (key, over, armour) = &made[draw(made.len())];
        // One in four pairs a signature with a text at random, one in sixteen damages neither.
        let text = if draw(4) == 0 { draw(texts.len()) } else { *over };
        let (mut bytes, mut armoured) = (texts[text].clone(), armour.clone().into_bytes());
        match draw(16) {
            0 => {}
            1 => damage(&mut bytes, &mut draw),
            _ => damage(&mut armoured, &mut draw),
        }
        let untouched = bytes == texts[text] && armoured == armour.as_bytes();
        let good = untouched && text == *over && text < 2 && keys[*key] == "ed25519";
        expected += usize::from(good);
        let armour = String::from_utf8_lossy(&armoured);
        if let Ok(checked) = judge(&signed(&bytes, &armour), &open, &operators) {
            assert!(good, "round {round}: {bytes:?}");
            assert_eq!(checked.text(), texts[text]);
            taken += 1;
        }
    }
    assert_eq!(taken, expected);
    assert!(taken > 50, "{taken}");
}

/// One to three bytes changed, left out, doubled or moved; never none of it.
fn damage(bytes: &mut Vec<u8>, draw: &mut impl FnMut(usize) -> usize) {
    let before = bytes.clone();
    while *bytes == before || String::from_utf8_lossy(bytes).trim_end() == String::from_utf8_lossy(&before).trim_end() {
        for _ in 0..=draw(3) {
            let (at, other) = (draw(bytes.len()), draw(bytes.len()));
            match draw(5) {
                0 => bytes[at] ^= 1 << draw(8),
                1 => bytes[at] = u8::try_from(draw(128)).unwrap(),
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(other, bytes[at]),
                _ => bytes.swap(at, other),
            }
        }
    }
}
