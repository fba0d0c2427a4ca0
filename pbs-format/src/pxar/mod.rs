//! pxar, the archive format of file backups.
