"""The only place of the control plane that touches the operating system."""
