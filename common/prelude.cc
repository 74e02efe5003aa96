// The source that the precompiled headers of libraries are made with; nothing is in it.
