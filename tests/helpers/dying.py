"""A worker that dies of what it runs, as an engine that reads outside of its memory."""

import os
import signal

if __name__ == "__main__":
    os.kill(os.getpid(), signal.SIGSEGV)
