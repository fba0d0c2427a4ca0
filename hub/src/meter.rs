//! So many in so much time for each key. In memory only: a restart forgives.

use std::{collections::HashMap, hash::Hash, net::IpAddr, sync::Mutex, time::Duration};

use tenwords_protocol::time::Timestamp;

/// Keys that are remembered, at most; beyond that the oldest is forgotten.
const KEYS: usize = 4096;

/// Counts events per key within a window that begins with the first of them.
#[derive(Debug)]
pub(crate) struct Meter<K> {
    most: u32,
    window: Duration,
    seen: Mutex<HashMap<K, (Timestamp, u32)>>,
}

impl<K: Clone + Eq + Hash> Meter<K> {
    pub(crate) fn new(most: u32, window: Duration) -> Self {
        Self { most, window, seen: Mutex::new(HashMap::new()) }
    }

    /// Counts one, or says after how long one more will be let through.
    pub(crate) fn take(&self, key: &K, now: Timestamp) -> Result<(), Duration> {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let running = |start: Timestamp| start <= now && now.since(start) < self.window;
        if seen.len() >= KEYS && !seen.contains_key(key) {
            seen.retain(|_, (start, _)| running(*start));
            if seen.len() >= KEYS
                && let Some(oldest) = seen.iter().min_by_key(|(_, (start, _))| *start).map(|(key, _)| key.clone())
            {
                seen.remove(&oldest);
            }
        }
        let entry = seen.entry(key.clone()).or_insert((now, 0));
        if !running(entry.0) {
            *entry = (now, 0);
        }
        if entry.1 >= self.most {
            return Err(self.window.saturating_sub(now.since(entry.0)).max(Duration::from_secs(1)));
        }
        entry.1 += 1;
        Ok(())
    }

    /// Forgives one.
    pub(crate) fn give_back(&self, key: &K) {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, count)) = seen.get_mut(key) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Where a request comes from, as far as that can be chosen freely: a whole /64 of IPv6 is one
/// source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source([u8; 8]);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        let mut network = [0; 8];
        match address.to_canonical() {
            IpAddr::V4(v4) => network[4..].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => network.copy_from_slice(&v6.octets()[..8]),
        }
        Self(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_772_539_200 + seconds).unwrap_or_else(|_| Timestamp::now())
    }

    #[test]
    fn one_key_is_stopped_and_another_is_not() {
        let meter = Meter::new(2, Duration::from_secs(60));
        assert_eq!(meter.take(&"a", at(0)), Ok(()));
        assert_eq!(meter.take(&"a", at(10)), Ok(()));
        assert_eq!(meter.take(&"a", at(20)), Err(Duration::from_secs(40)));
        assert_eq!(meter.take(&"b", at(20)), Ok(()));
        assert_eq!(meter.take(&"a", at(60)), Ok(()));
    }

    #[test]
    fn what_was_given_back_does_not_count_and_a_clock_set_back_stops_nobody() {
        let meter = Meter::new(1, Duration::from_secs(60));
        assert_eq!(meter.take(&"a", at(100)), Ok(()));
        meter.give_back(&"a");
        assert_eq!(meter.take(&"a", at(100)), Ok(()));
        assert_eq!(meter.take(&"a", at(0)), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let meter = Meter::new(1, Duration::from_secs(60));
        for key in 0..2 * KEYS {
            assert_eq!(meter.take(&key, at(0)), Ok(()));
        }
        assert!(meter.seen.lock().is_ok_and(|seen| seen.len() <= KEYS));
    }

    #[test]
    fn a_whole_network_of_the_sixth_version_is_one_source() {
        let source = |text: &str| text.parse::<IpAddr>().map(Source::from);
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}
