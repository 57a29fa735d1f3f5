"""Handing cancellations over in bulk beside handing them over one by one."""
