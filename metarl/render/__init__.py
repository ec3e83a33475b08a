"""Pictures of robots: renderers, recordings, videos."""
