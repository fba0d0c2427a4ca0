//! pxar against the golden archives.
