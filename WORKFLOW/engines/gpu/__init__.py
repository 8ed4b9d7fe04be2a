"""The batch engine on NVIDIA GPUs. Nothing here is imported before a GPU is asked for."""
