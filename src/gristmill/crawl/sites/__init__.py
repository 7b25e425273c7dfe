"""Asking video sites, by yt-dlp in a child process, one video at a time.

============  ==================================================================================
settings      limits and what is passed on: cookies, proxy, rate, height
ask           starts the child, keeps its deadlines, and says what came of a page
child         the child: the only file that imports ``yt_dlp``, behind a guard of its own
refusals      from what yt-dlp says to a reason
pauses        a site that asks for a pause gets it, from all workers and from later commands
runtimes      which JavaScript runtime there is: some sites give no video without one
============  ==================================================================================
"""
