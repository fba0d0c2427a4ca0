//! The lock that PVE's own programs take before they change `storage.cfg` or a storage's secrets.
