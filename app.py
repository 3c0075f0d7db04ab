"""The development server: `python app.py`."""

from receiver.server.start import development_server

if __name__ == "__main__":
    development_server()
