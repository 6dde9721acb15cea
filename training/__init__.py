"""How the bundled embedding is made, from source trees to the files in the package. See README.md."""
