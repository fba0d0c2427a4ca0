//! Hostile partners against the whole path: a hub that lies, a backup server that lies, flipped bytes.
//! (Helper "spikes2" writes this file and hostile_*.rs; helper "spikes" writes the rest.)
