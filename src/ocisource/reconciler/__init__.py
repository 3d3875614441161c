"""Where the wings meet: an OCIRepository object in, its artifact and status out."""
