-- So that table definitions are one text on both databases.
CREATE DOMAIN blob AS bytea;
