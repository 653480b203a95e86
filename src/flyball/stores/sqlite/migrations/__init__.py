"""Numbered SQL, forward only: `0001_initial.sql`, `0002_….sql` …"""
