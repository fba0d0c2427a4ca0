//! The GOODBYE table of one folder: a row per child, laid out as the complete binary search tree
//! of the names' hashes in level order, and a tail (`formats.md` §8.5).

use super::format::{GOODBYE_TAIL, HEADER_LEN, ItemKind, name_hash};

/// One child, while its folder is being written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child {
    hash: u64,
    /// Where its FILENAME item begins.
    start: u64,
    /// Bytes from there to the end of the child.
    size: u64,
}

impl Child {
    pub(super) fn new(name: &[u8], start: u64, end: u64) -> Self {
        Self { hash: name_hash(name), start, size: end - start }
    }
}

/// The whole GOODBYE item of a folder whose ENTRY stands at `entry` and whose table comes to
/// stand at `here`.
pub(super) fn item(mut children: Vec<Child>, entry: u64, here: u64) -> Vec<u8> {
    children.sort_by_key(|child| child.hash);
    let size = HEADER_LEN + 24 * (children.len() as u64 + 1);
    let mut bytes = Vec::with_capacity(24 * (children.len() + 2));
    let mut put = |value: u64| bytes.extend_from_slice(&value.to_le_bytes());
    put(ItemKind::Goodbye.number());
    put(size);
    for rank in level_order(children.len()) {
        let child = children[rank];
        put(child.hash);
        put(here - child.start);
        put(child.size);
    }
    put(GOODBYE_TAIL);
    put(here - entry);
    put(size);
    bytes
}

/// For each position of the heap of `count` rows, the rank (by hash) of the row that stands there.
fn level_order(count: usize) -> Vec<usize> {
    let mut order = vec![0; count];
    let mut rank = 0;
    // In-order walk over the positions: down to the left, take, then to the right.
    let mut open = Vec::new();
    let mut at = 0;
    loop {
        while at < count {
            open.push(at);
            at = 2 * at + 1;
        }
        let Some(position) = open.pop() else {
            return order;
        };
        order[position] = rank;
        rank += 1;
        at = 2 * position + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_as_in_the_vectors() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/vectors.json");
        let vectors: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).expect("golden vectors")).expect("JSON");
        let orders = vectors["pxar"]["bst_order"].as_object().expect("an object");
        assert!(orders.len() > 10);
        for (count, order) in orders {
            let count = count.parse().expect("a number");
            assert_eq!(serde_json::json!(level_order(count)), *order, "{count}");
        }
        assert_eq!(level_order(0), [0; 0]);
    }
}
