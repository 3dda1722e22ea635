"""Sends a mail by Python's smtplib, which waits for the server's first word: `mail_client.py host port`."""

import smtplib
import sys

with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=20) as mail:
    print(mail.ehlo("client.in-clear"))
    mail.mail("sender@in-clear.example")
    mail.rcpt("receiver@in-clear.example")
    print(mail.data("Subject: in-clear\r\n\r\n" + "A line in-clear.\r\n" * 1000))
