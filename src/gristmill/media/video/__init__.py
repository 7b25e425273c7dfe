"""Videos: their containers told by magic bytes, decoded with PyAV in child processes, cut and encoded exactly.

``pool`` is what others use, with ``settings`` and ``facts``; these three import no decoder. In a child: ``worker``
serves; ``containers`` says what may be opened, ``source`` decodes, ``shape`` turns and scales frames, ``clips`` cuts,
``writer`` encodes, ``stills`` makes pictures out of frames and videos out of pictures, which ``jpegs`` tells apart,
``mux`` puts pictures and sound of two files into one.
"""
