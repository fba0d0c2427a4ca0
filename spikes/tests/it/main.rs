//! The story, the searches and the walls, on the built programs.
