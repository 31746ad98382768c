"""A site's own long-lived process: takes tasks from its SuperNode and works them one by one."""
