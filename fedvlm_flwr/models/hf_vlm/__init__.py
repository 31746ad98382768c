"""Any image-text-to-text model of transformers whose family is known."""
