"""An application that thinks before it answers: origin.py SOCKET MILLISECONDS FOLDER

Listens on a Unix socket, and answers GET with the folder's file, HTML, after that time.
"""
import asyncio
import os
import sys


async def answer(reader, writer, think_s, folder):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            with open(folder + path + ("index.html" if path.endswith("/") else ""), "rb") as file:
                body = file.read()
            await asyncio.sleep(think_s)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
                         % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(path, milliseconds, folder):
    server = await asyncio.start_unix_server(
        lambda reader, writer: answer(reader, writer, int(milliseconds) / 1000, folder), path)
    os.chmod(path, 0o666)                # the worker, which has no privileges, connects
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
