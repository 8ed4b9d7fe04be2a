"""The only package of the control plane that touches the operating system."""
