//! Placeholder head; the room's own words come with its first slice.
