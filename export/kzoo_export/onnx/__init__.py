"""ONNX files: conversion, quantization, inspection and running."""
