"""The commands of ``scinn-infer``, one module each."""
