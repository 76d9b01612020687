"""The course's images: their files, their start, and whole images, built from a Debian of our own."""
