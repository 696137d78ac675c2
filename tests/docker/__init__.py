"""The image, the compose file and the manifests: what needs no engine to be seen."""
