"""Connectors: one package a kind of target. Each knows `flyball.plugin.v1` alone, and none knows another."""
