"""The batch engine on NVIDIA GPUs; nothing here is imported before somebody asks for one."""
